// Lets long work run without the interpreter lock while the thread that called it from Python stays responsive.
//
// The work runs on a thread of its own. The calling thread waits, looks for signals (Ctrl-C) every 50 ms, and runs what
// the work asks it to run: callbacks of the user always run on the thread that made the call. If a signal handler or a
// callback raises a Python exception, the work ends, and the exception goes to the caller: after a callback by an error where
// the work made the call, after a signal by an interruption, which all work of the process sees (base/interrupt.h).
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>

namespace occ::python {

class Caller {
 public:
  // Runs `work` and returns when it is done. Rethrows its exception, or the Python exception that interrupted it. The
  // interpreter lock must be held; it is free while `work` runs.
  void run(const std::function<void()>& work);
  // For `work`, from any of its threads: runs `callback` on the thread that called run(), with the interpreter lock, and
  // waits for it. Throws an error of kind kFailed if the callback raised an exception.
  void call(const std::function<void()>& callback);

 private:
  void serve(const std::function<void()>* callback);

  std::mutex one_call_;  // held by the thread whose callback runs
  std::mutex mutex_;     // guards what follows
  std::condition_variable changed_;
  const std::function<void()>* callback_ = nullptr;  // asked for and not done yet
  bool done_ = false;
  std::exception_ptr python_error_;  // touched by the calling thread only, with the interpreter lock
  bool failed_ = false;              // whether there is one
  bool interrupted_ = false;         // whether it is of a signal
};

}  // namespace occ::python
