// Progress of a run that has several phases: one line over the whole run that is never still on a terminal, or plain
// lines where stderr is none.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cli/cli.h"
#include "occ/calibrate.h"

namespace occ {

// The state of a run, and what a line says about it. Times are seconds since the run began.
class PhaseClock {
 public:
  // The phases of the run with their expected times, which only count relative to each other.
  void plan(std::vector<CalibrationPlan::Phase> phases) { phases_ = std::move(phases); }
  // Work of a phase. That of one that was not planned does not count. Returns whether a phase begins.
  bool report(const std::string& phase, uint64_t done, uint64_t total, double now);
  // Share of the whole run that is done, 0 to 1.
  double done() const;
  // Such as "phase 2 of 5, inputs: 41 %, 12.0 MB/s, 3 min left": rate and time only once they are known.
  std::string line(double now) const;

 private:
  double share_before(size_t phase) const;

  std::vector<CalibrationPlan::Phase> phases_;
  size_t at_ = 0;      // in phases_, the last one that began
  double inside_ = 0;  // share of that one that is done
  std::string name_;   // of the phase that is running
  double began_ = 0;   // when it began
  uint64_t done_ = 0, total_ = 0;
};

// "40 s", "14 min" or "5 h": about as exact as an estimate can be.
std::string rough_duration(double seconds);

class RunProgress {
 public:
  // With --quiet nothing is shown.
  explicit RunProgress(const Globals& globals);
  ~RunProgress();  // clears the line
  RunProgress(const RunProgress&) = delete;
  RunProgress& operator=(const RunProgress&) = delete;

  // Tells what the run is going to do.
  void announce(const CalibrationPlan& plan);
  // Prints a line on stderr, also with --quiet.
  void say(const std::string& line);
  void report(const char* phase, uint64_t done, uint64_t total);

 private:
  void draw();

  const bool quiet_, terminal_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool end_ = false, planned_ = false;
  double printed_ = 0;  // when the last plain line was
  PhaseClock clock_;
  const double start_;
  std::thread ticker_;
};

}  // namespace occ
