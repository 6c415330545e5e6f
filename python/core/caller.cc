#include "caller.h"

#include <nanobind/nanobind.h>

#include <chrono>
#include <thread>

#include "base/error.h"
#include "base/interrupt.h"

namespace occ::python {

void Caller::serve(const std::function<void()>* callback) {
  if (!failed_) {
    try {
      if (PyErr_CheckSignals() != 0) {
        interrupted_ = true;
        throw nanobind::python_error();
      }
      if (callback != nullptr) (*callback)();
    } catch (...) {
      python_error_ = std::current_exception();
      failed_ = true;
    }
  }
  if (interrupted_) set_interrupted(true);  // again, as another call that ends takes it back
}

void Caller::run(const std::function<void()>& work) {
  std::exception_ptr error;
  {
    const nanobind::gil_scoped_release release;
    std::thread thread([&] {
      try {
        work();
      } catch (...) {
        error = std::current_exception();
      }
      const std::lock_guard lock(mutex_);
      done_ = true;
      changed_.notify_all();
    });
    std::unique_lock lock(mutex_);
    while (!done_) {
      changed_.wait_for(lock, std::chrono::milliseconds(50), [&] { return done_ || callback_ != nullptr; });
      if (done_) break;
      const std::function<void()>* callback = callback_;
      lock.unlock();
      {
        const nanobind::gil_scoped_acquire acquire;
        serve(callback);
      }
      lock.lock();
      if (callback == nullptr) continue;
      callback_ = nullptr;
      changed_.notify_all();
    }
    lock.unlock();
    thread.join();
  }
  if (failed_) {
    if (interrupted_) set_interrupted(false);
    std::rethrow_exception(python_error_);
  }
  if (error) std::rethrow_exception(error);
}

void Caller::call(const std::function<void()>& callback) {
  const std::lock_guard one(one_call_);
  std::unique_lock lock(mutex_);
  callback_ = &callback;
  changed_.notify_all();
  changed_.wait(lock, [&] { return callback_ == nullptr; });
  if (failed_) throw_failed("interrupted");
}

}  // namespace occ::python
