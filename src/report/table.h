// Text tables. On a terminal a table fits the width of the terminal; in a pipe or a file nothing is cut, so that other
// programs find everything.
#pragma once

#include <string>
#include <vector>

namespace occ {

enum class ColumnKind {
  kText,    // left-aligned; on a narrow terminal long cells lose their middle
  kNumber,  // right-aligned, never cut
  kDetail,  // a number whose column is left out on a narrow terminal
};

struct Column {
  std::string heading;
  ColumnKind kind = ColumnKind::kNumber;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  void add(std::vector<std::string> row);  // missing cells are empty; control characters become '?'
  // Returns the table in lines of at most `width` characters where that is possible; 0 means that any width is allowed.
  // If columns had to be left out, a last line names them.
  std::string text(size_t width) const;
  // Prints the table to stdout, with `full` at any width.
  void print(bool full) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Shortens `text` to at most `width` characters (5 or more), as in "model.layers...q_proj.weight".
std::string abbreviated(const std::string& text, size_t width);

// Returns the width in characters of the terminal that the file descriptor `fd` refers to, or 0 if it is no terminal.
size_t terminal_width(int fd);

}  // namespace occ
