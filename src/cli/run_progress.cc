#include "cli/run_progress.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "base/parallel.h"
#include "report/table.h"

namespace occ {
namespace {

constexpr double kKnown = 3;       // seconds from which on a rate is known
constexpr double kTimeKnown = 10;  // seconds and share of the run from which on the time left is known
constexpr double kShareKnown = 0.03;
constexpr double kBetweenLines = 60;  // seconds, of plain lines

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// What people read in place of the names of the phases.
std::string label(const std::string& phase) {
  constexpr std::pair<const char*, const char*> kLabels[] = {{"importance", "what errors cost"},
                                                             {"calibrate", "inputs of layers"},
                                                             {"compress", "coding"},
                                                             {"adjust", "coding some again"},
                                                             {"tune", "fine-tuning"},
                                                             {"write", "writing"},
                                                             {"verify", "verifying"},
                                                             {"own text", "text that the model writes"},
                                                             {"uncalibrated", "coding without calibration"},
                                                             {"judge", "measuring the loss"}};
  for (const auto& [name, text] : kLabels) {
    if (phase == name) return text;
  }
  return phase;
}

bool counts_bytes(const std::string& phase) {
  return phase == "compress" || phase == "adjust" || phase == "write" || phase == "verify" || phase == "uncalibrated";
}

}  // namespace

std::string rough_duration(double seconds) {
  if (seconds < 90) return fmt::format("{:.0f} s", std::max(1.0, seconds));
  if (seconds < 90 * 60) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.{}f} h", seconds / 3600, seconds < 10 * 3600 ? 1 : 0);
}

bool PhaseClock::report(const std::string& phase, uint64_t done, uint64_t total, double now) {
  const bool begins = phase != name_;
  if (begins) {
    name_ = phase;
    began_ = now;
    const auto found = std::find_if(phases_.begin() + static_cast<ptrdiff_t>(at_), phases_.end(),
                                    [&](const CalibrationPlan::Phase& p) { return p.name == phase; });
    if (found != phases_.end()) at_ = static_cast<size_t>(found - phases_.begin());
    if (found != phases_.end() || phases_.empty()) inside_ = 0;
  }
  done_ = done, total_ = total;
  const double here = total == 0 ? 0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  if (phases_.empty() || phases_[at_].name == phase) inside_ = here;
  return begins;
}

double PhaseClock::share_before(size_t phase) const {
  double before = 0, all = 0;
  for (size_t i = 0; i < phases_.size(); ++i) {
    all += phases_[i].seconds;
    if (i < phase) before += phases_[i].seconds;
  }
  return all > 0 ? before / all : 0;
}

double PhaseClock::done() const {
  if (phases_.empty()) return inside_;
  return share_before(at_) + inside_ * (share_before(at_ + 1) - share_before(at_));
}

std::string PhaseClock::line(double now) const {
  std::string out = phases_.empty() ? "" : fmt::format("phase {} of {}, ", at_ + 1, phases_.size());
  out += name_.empty() ? "reading" : label(name_);
  const double share = done(), in_phase = now - began_;
  out += fmt::format(": {:.0f} %", 100 * share);
  if (in_phase >= kKnown && done_ != 0 && done_ < total_) {
    const double rate = static_cast<double>(done_) / in_phase;
    if (counts_bytes(name_)) out += fmt::format(", {}/s", human_bytes(rate));
  }
  out += fmt::format(", {} so far", rough_duration(now));
  if (now >= kTimeKnown && share >= kShareKnown && share < 1) {
    out += fmt::format(", about {} left", rough_duration(now * (1 - share) / share));
  }
  return out;
}

RunProgress::RunProgress(const Globals& globals)
    : quiet_(globals.quiet), terminal_(isatty(STDERR_FILENO) != 0), start_(seconds_now()) {
  if (quiet_ || !terminal_) return;
  ticker_ = std::thread([this] {
    std::unique_lock lock(mutex_);
    while (!ended_.wait_for(lock, std::chrono::milliseconds(500), [this] { return end_; })) draw();
  });
}

RunProgress::~RunProgress() {
  {
    const std::lock_guard lock(mutex_);
    end_ = true;
  }
  ended_.notify_all();
  if (ticker_.joinable()) ticker_.join();
  if (!quiet_ && terminal_) std::fputs("\r\033[K", stderr);
}

void RunProgress::announce(const CalibrationPlan& plan) {
  const std::lock_guard lock(mutex_);
  clock_.plan(plan.phases);
  planned_ = true;
  if (quiet_) return;
  std::vector<std::string> names;
  double seconds = 0;
  for (const auto& phase : plan.phases) {
    names.push_back(label(phase.name));
    seconds += phase.seconds;
  }
  if (terminal_) std::fputs("\r\033[K", stderr);
  fmt::print(stderr, "calibration: {} tokens of {}\n", plan.tokens, plan.text);
  fmt::print(stderr, "{} phases ({}), about {} on {} {}\n", names.size(), fmt::join(names, ", "),
             rough_duration(seconds), max_threads(), max_threads() == 1 ? "core" : "cores");
}

void RunProgress::say(const std::string& line) {
  const std::lock_guard lock(mutex_);
  if (!quiet_ && terminal_) std::fputs("\r\033[K", stderr);
  fmt::print(stderr, "{}\n", line);
}

void RunProgress::report(const char* phase, uint64_t done, uint64_t total) {
  const std::lock_guard lock(mutex_);
  const double now = seconds_now() - start_;
  const bool begins = clock_.report(phase, done, total, now);
  if (quiet_) return;
  if (terminal_) {
    if (begins) draw();
  } else if ((begins && planned_) || now - printed_ >= kBetweenLines) {
    printed_ = now;
    fmt::print(stderr, "{}\n", clock_.line(now));
  }
}

void RunProgress::draw() {
  std::string line = clock_.line(seconds_now() - start_);
  if (const size_t width = terminal_width(STDERR_FILENO); width > 1 && line.size() >= width) line.resize(width - 1);
  std::fputs(("\r\033[K" + line).c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace occ
