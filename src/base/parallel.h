// Thin over oneTBB. Work is cut by the caller (by panel), never by thread count, so results do not depend on it.
#pragma once

#include <cstddef>
#include <functional>

namespace occ {

// Runs body(i) for i in [0, count), in any order, on the threads allowed by ThreadLimit. Returns when all have run, or
// rethrows the first exception. Checks for Ctrl-C (base/interrupt.h) between items.
void parallel_for(size_t count, const std::function<void(size_t)>& body);

// Runs body so that its parallel loops never pick up work of outer loops: for bodies that hold a lock.
void run_isolated(const std::function<void()>& body);

// Limits the whole process to `threads` (0: all cores) while it lives.
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

// ceil(a / b), b > 0.
constexpr size_t ceil_div(size_t a, size_t b) { return a / b + (a % b != 0); }

}  // namespace occ
