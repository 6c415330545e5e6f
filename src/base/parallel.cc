#include "base/parallel.h"

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>

#include "base/interrupt.h"

namespace occ {

void parallel_for(size_t count, const std::function<void(size_t)>& body) {
  if (count == 1) {
    throw_if_interrupted();
    body(0);
    return;
  }
  // A loop of oneTBB inside another one is by default cancelled together with it: when a body of the outer loop throws,
  // the inner loop of another body would return as if all its bodies had run. In a context of its own it runs to its
  // end, or throws.
  tbb::task_group_context context(tbb::task_group_context::isolated);
  tbb::parallel_for(
      tbb::blocked_range<size_t>(0, count, 1),
      [&](const tbb::blocked_range<size_t>& range) {
        for (size_t i = range.begin(); i != range.end(); ++i) {
          throw_if_interrupted();
          body(i);
        }
      },
      tbb::simple_partitioner{}, context);
}

void run_isolated(const std::function<void()>& body) { tbb::this_task_arena::isolate(body); }

ThreadLimit::ThreadLimit(size_t threads)
    : control_(threads == 0 ? nullptr
                            : new tbb::global_control(tbb::global_control::max_allowed_parallelism, threads)) {}

ThreadLimit::~ThreadLimit() { delete static_cast<tbb::global_control*>(control_); }

size_t max_threads() { return tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism); }

}  // namespace occ
