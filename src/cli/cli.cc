#include "cli/cli.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "base/byte_count.h"
#include "base/error.h"
#include "io/json.h"
#include "report/table.h"

namespace occ {
namespace {

using Clock = std::chrono::steady_clock;

bool g_bar_open = false;

std::string duration_text(double seconds) {
  const auto s = static_cast<uint64_t>(std::lround(seconds));
  return s < 60 ? fmt::format("{} s", s) : fmt::format("{} min {:02} s", s / 60, s % 60);
}

}  // namespace

ProgressFn progress_bar(const Globals& globals, const std::string& unit) {
  if (globals.quiet || isatty(STDERR_FILENO) == 0) return {};
  struct State {
    std::string phase;
    Clock::time_point start, drawn;
  };
  const auto amount = [unit](double count) {
    return unit.empty() ? human_bytes(count) : fmt::format("{:.{}f} {}", count, count < 10 ? 1 : 0, unit);
  };
  return [state = std::make_shared<State>(), amount](const char* phase, uint64_t done, uint64_t total) {
    const auto now = Clock::now();
    if (state->phase != phase) *state = {phase, now, {}};
    if (done < total && now - state->drawn < std::chrono::milliseconds(100)) return;
    state->drawn = now;
    const double seconds = std::chrono::duration<double>(now - state->start).count();
    const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
    const double left = rate > 0 ? static_cast<double>(total - std::min(done, total)) / rate : 0;
    std::string line = fmt::format("{:<9} {:3.0f} %  {} of {}  {}/s  {} left", phase,
                                   total > 0 ? 100.0 * static_cast<double>(done) / static_cast<double>(total) : 100.0,
                                   amount(static_cast<double>(done)), amount(static_cast<double>(total)), amount(rate),
                                   duration_text(left));
    if (const size_t width = terminal_width(STDERR_FILENO); width > 1 && line.size() >= width) line.resize(width - 1);
    std::fputs(("\r\033[K" + line).c_str(), stderr);
    std::fflush(stderr);
    g_bar_open = true;
  };
}

void end_progress() {
  if (g_bar_open) std::fputs("\r\033[K", stderr);
  g_bar_open = false;
}

uint64_t parse_size(const std::string& text) {
  const std::optional<uint64_t> bytes = parse_byte_count(text);
  if (bytes) return *bytes;
  throw_usage("--size: expected bytes such as 45000000, 45M or 1.5GB (decimal; 45MiB is binary), found '{}'", text);
}

void print_note(const std::string& text) { std::printf("note: %s\n", printable(text, 2000).c_str()); }

void print_source_notes(const TensorFile& file, const Globals& globals) {
  if (globals.quiet) return;
  for (const std::string& note : file.notes()) std::fprintf(stderr, "note: %s\n", printable(note, 2000).c_str());
}

void print_json(const nlohmann::ordered_json& json) {
  std::puts(json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

}  // namespace occ
