#include "cli/cli.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "io/json.h"

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
    winsize window{};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1 && line.size() >= window.ws_col) {
      line.resize(window.ws_col - 1u);
    }
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
  size_t used = 0;
  double value = 0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  const std::string unit = text.substr(used);
  const std::pair<const char*, double> units[] = {{"", 1},         {"B", 1},           {"kB", 1e3},
                                                  {"KB", 1e3},     {"MB", 1e6},        {"GB", 1e9},
                                                  {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}};
  for (const auto& [name, factor] : units) {
    const double bytes = value * factor;
    if (used > 0 && unit == name && bytes >= 1 && bytes < 0x1p62) return static_cast<uint64_t>(bytes);
  }
  throw_usage("--size: expected bytes such as 45MB or 1.5GiB, found '{}'", text);
}

std::string human_bytes(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  size_t u = 0;
  for (; bytes >= 1000 && u < 4; ++u) bytes /= 1000;
  return u == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.{}f} {}", bytes, bytes < 100 ? 2 : 1, units[u]);
}

std::string shape_label(const std::vector<uint64_t>& shape) {
  return shape.empty() ? "scalar" : fmt::format("{}", fmt::join(shape, "x"));
}

std::string number(double v, int digits) { return std::isnan(v) ? "-" : fmt::format("{:.{}g}", v, digits); }

void Table::add(std::vector<std::string> row) {
  for (std::string& cell : row) cell = printable(cell, 2000);
  rows_.push_back(std::move(row));
}

void print_note(const std::string& text) { std::printf("note: %s\n", printable(text, 2000).c_str()); }

void Table::print() const {
  std::vector<size_t> widths(rows_[0].size());
  for (const auto& row : rows_) {
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  for (const auto& row : rows_) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      line += c == 0 ? fmt::format("{:<{}}", row[c], widths[c]) : fmt::format("  {:>{}}", row[c], widths[c]);
    }
    line.resize(line.find_last_not_of(' ') + 1);
    std::puts(line.c_str());
  }
}

nlohmann::ordered_json finite_or_null(double v) { return std::isfinite(v) ? nlohmann::ordered_json(v) : nullptr; }

void print_json(const nlohmann::ordered_json& json) {
  std::puts(json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

size_t panel_rows(const TensorFile& file, size_t i) {
  const Shape shape = matrix_shape(file.tensors()[i].shape);
  const size_t unit = file.read_granularity(i);
  const size_t units = std::max<size_t>(1, (size_t{1} << 18) / std::max<size_t>(1, unit * shape.cols));
  return units * unit;
}

}  // namespace occ
