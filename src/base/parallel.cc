#include "base/parallel.h"

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>

#include "base/interrupt.h"

namespace occ {

void parallel_for(size_t count, const std::function<void(size_t)>& body) {
  if (count == 1) {
    throw_if_interrupted();
    body(0);
    return;
  }
  tbb::parallel_for(
      tbb::blocked_range<size_t>(0, count, 1),
      [&](const tbb::blocked_range<size_t>& range) {
        for (size_t i = range.begin(); i != range.end(); ++i) {
          throw_if_interrupted();
          body(i);
        }
      },
      tbb::simple_partitioner{});
}

void run_isolated(const std::function<void()>& body) { tbb::this_task_arena::isolate(body); }

ThreadLimit::ThreadLimit(size_t threads)
    : control_(threads == 0 ? nullptr
                            : new tbb::global_control(tbb::global_control::max_allowed_parallelism, threads)) {}

ThreadLimit::~ThreadLimit() { delete static_cast<tbb::global_control*>(control_); }

size_t max_threads() { return tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism); }

}  // namespace occ
