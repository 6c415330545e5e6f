// Figures without two axes, as inline SVG: bars, heat maps and treemaps. Style, colours and width are those of plot.h.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace occ {

struct Bar {
  std::string label;
  double value = 0;
  std::string text;   // beside the bar
  double error = 0;   // half the length of a whisker; 0: none
  size_t colour = 0;  // as of series_class
};
// Horizontal bars, one below the other, that begin at 0 or, with negative values, at the least one. Values that are not
// finite have no bar.
std::string bars(std::span<const Bar> bars);

struct HeatCell {
  std::optional<double> value;  // none: an empty cell
  std::string hover = "";
};
// A map with a row for every vector of cells. The darkest cell is that of the largest value. With `log`, shades follow the
// logarithm.
std::string heat_map(std::span<const std::string> rows, std::span<const std::string> columns,
                     std::span<const std::vector<HeatCell>> cells, bool log);

struct TreemapItem {
  std::string label;
  double size = 0;
  std::string hover;
  size_t colour = 0;
};
// Rectangles whose areas are in proportion to the sizes, about square (Bruls, Huizing & van Wijk, Squarified Treemaps,
// 2000). Items without a positive size are left out.
std::string treemap(std::span<const TreemapItem> items);

struct Rectangle {
  double x = 0, y = 0, width = 0, height = 0;
};
// The rectangles of a treemap of this size, for sizes in descending order, all of them positive.
std::vector<Rectangle> squarified(std::span<const double> sizes, double width, double height);

}  // namespace occ
