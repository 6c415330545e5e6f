// Measures the progress of work that several threads do.
#pragma once

#include <mutex>

#include "occ/compress.h"

namespace occ {

// Adds up the work of all threads and reports the sum to a function, which never runs in two threads at the same time.
class Meter {
 public:
  explicit Meter(const ProgressFn& fn) : fn_(fn) {}
  void start(const char* phase, uint64_t total) {
    const std::lock_guard lock(mutex_);
    phase_ = phase;
    done_ = 0;
    total_ = total;
    if (fn_) fn_(phase_, done_, total_);
  }
  void add(uint64_t bytes) {
    if (!fn_) return;
    const std::lock_guard lock(mutex_);
    done_ += bytes;
    fn_(phase_, done_, total_);
  }

 private:
  const ProgressFn& fn_;
  std::mutex mutex_;
  const char* phase_ = "";
  uint64_t done_ = 0, total_ = 0;
};

}  // namespace occ
