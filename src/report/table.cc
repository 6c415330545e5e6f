#include "report/table.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "io/json.h"

namespace occ {
namespace {

// The least width in characters to which text columns are cut: first before columns of details are left out, then if
// that was not enough.
constexpr size_t kGoodText = 28, kLeastText = 12;

bool starts_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

// Counts UTF-8 characters.
size_t characters(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), starts_character));
}

}  // namespace

std::string abbreviated(const std::string& text, size_t width) {
  if (characters(text) <= width) return text;
  const size_t tail = (width - 3) / 2, head = width - 3 - tail;
  std::string out;
  size_t at = 0;
  const size_t second = characters(text) - tail;
  for (const char c : text) {
    at += starts_character(c);
    if (at <= head || at > second) out += c;
    if (at == head + 1 && starts_character(c)) out += "...";
  }
  return out;
}

size_t terminal_width(int fd) {
  winsize window{};
  return isatty(fd) != 0 && ioctl(fd, TIOCGWINSZ, &window) == 0 ? window.ws_col : 0;
}

void Table::add(std::vector<std::string> row) {
  row.resize(columns_.size());
  for (std::string& cell : row) cell = printable(cell, 2000);
  rows_.push_back(std::move(row));
}

std::string Table::text(size_t width) const {
  std::vector<size_t> widths, shown;
  for (size_t c = 0; c < columns_.size(); ++c) {
    widths.push_back(characters(columns_[c].heading));
    for (const auto& row : rows_) widths[c] = std::max(widths[c], characters(row[c]));
    shown.push_back(c);
  }
  const auto too_wide = [&] {
    const auto sum = [&](size_t all, size_t c) { return all + widths[c]; };
    return width != 0 && std::accumulate(shown.begin(), shown.end(), 2 * (shown.size() - 1), sum) > width;
  };
  const auto shrink_text_to = [&](size_t least) {
    const auto room = [&](size_t c) { return columns_[c].kind == ColumnKind::kText ? widths[c] : 0; };
    while (too_wide()) {
      const size_t widest =
          *std::max_element(shown.begin(), shown.end(), [&](size_t a, size_t b) { return room(a) < room(b); });
      if (room(widest) <= least) return;
      --widths[widest];
    }
  };
  std::vector<std::string> left_out;
  shrink_text_to(kGoodText);
  while (too_wide()) {
    const auto last =
        std::find_if(shown.rbegin(), shown.rend(), [&](size_t c) { return columns_[c].kind == ColumnKind::kDetail; });
    if (last == shown.rend()) break;
    left_out.insert(left_out.begin(), columns_[*last].heading);
    shown.erase(std::next(last).base());
  }
  shrink_text_to(kLeastText);
  std::string out;
  const auto add_line = [&](const auto& cell) {
    std::string line;
    for (const size_t c : shown) {
      const std::string value = columns_[c].kind == ColumnKind::kText ? abbreviated(cell(c), widths[c]) : cell(c);
      const std::string fill(widths[c] - std::min(widths[c], characters(value)), ' ');
      if (c != shown.front()) line += "  ";
      line += columns_[c].kind == ColumnKind::kText ? value + fill : fill + value;
    }
    line.resize(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  };
  add_line([&](size_t c) { return columns_[c].heading; });
  for (const auto& row : rows_) add_line([&](size_t c) { return row[c]; });
  if (!left_out.empty()) {
    out += fmt::format("(left out of this width: {}; --verbose shows all)\n", fmt::join(left_out, ", "));
  }
  return out;
}

void Table::print(bool full) const { std::fputs(text(full ? 0 : terminal_width(STDOUT_FILENO)).c_str(), stdout); }

}  // namespace occ
