// Parallel loops with oneTBB. The caller divides the work into items (for example panels of rows), never by the number
// of threads, so that results do not depend on the number of threads.
#pragma once

#include <cstddef>
#include <functional>

namespace occ {

// Runs body(i) for all i in [0, count), in any order, on the threads that ThreadLimit allows. Returns when all have
// run, or rethrows the first exception. Before each item it calls throw_if_interrupted (base/interrupt.h).
void parallel_for(size_t count, const std::function<void(size_t)>& body);

// Runs body so that a thread that waits in one of its parallel loops does not start work of an outer loop. Needed for a
// body that holds a lock, because that other work could wait for the same lock.
void run_isolated(const std::function<void()>& body);

// Limits the whole process to this number of threads (0 means no limit) as long as the object lives.
class ThreadLimit {
 public:
  explicit ThreadLimit(size_t threads);
  ~ThreadLimit();
  ThreadLimit(const ThreadLimit&) = delete;
  ThreadLimit& operator=(const ThreadLimit&) = delete;

 private:
  void* control_;
};

size_t max_threads();

// a / b rounded up, for b > 0.
constexpr size_t ceil_div(size_t a, size_t b) { return a / b + (a % b != 0); }

}  // namespace occ
