// Tables for people. On a terminal they fit its width; in a pipe nothing is cut, so that programs find everything.
#pragma once

#include <string>
#include <vector>

namespace occ {

enum class ColumnKind {
  kText,    // left-aligned; where a terminal is too narrow, long cells lose their middle
  kNumber,  // right-aligned, never cut
  kDetail,  // a number that is left out where a terminal is too narrow
};

struct Column {
  std::string heading;
  ColumnKind kind = ColumnKind::kNumber;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  void add(std::vector<std::string> row);  // missing cells are empty; control characters become '?'
  // In lines of at most `width` characters where that is possible (0: any width), with a last line that names the
  // columns left out.
  std::string text(size_t width) const;
  // To stdout, `full`: at any width.
  void print(bool full) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// `text` in at most `width` characters (5 or more): "model.layers...q_proj.weight".
std::string abbreviated(const std::string& text, size_t width);

// Columns of the terminal that `fd` is; 0 if it is none.
size_t terminal_width(int fd);

}  // namespace occ
