// Figures with two axes, as inline SVG: curves, points and histograms. All figures have one style (report/html.h), take
// their colours from the page and so follow its scheme, and tell their values under the mouse. They are drawn 440 units
// wide, so that text stays readable where a phone shows them at 360 pixels.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace occ {

struct Axis {
  std::string label;
  bool log = false;                                                 // values that are not positive are left out
  std::optional<double> least = std::nullopt, most = std::nullopt;  // none: what the values take
};

struct PlotPoint {
  double x = 0, y = 0;
  std::string hover = "";  // what the mouse shows
  bool strong = false;     // drawn larger, with a ring
};

struct Series {
  enum class Style {
    kLine,     // a curve without marks
    kDashed,   // the same, dashed, in the colour of text: limits
    kMarked,   // a curve with a mark at every point
    kPoints,   // marks only
    kOutline,  // horizontal steps, x is the middle of each: histograms
  };
  std::string name;
  std::vector<PlotPoint> points;
  Style style = Style::kMarked;
};

// Returns an SVG and a legend below it. Points that are not finite are left out, and those outside of a fixed range lie
// on its border. Returns a sentence in place of a figure without points.
std::string plot(const Axis& x, const Axis& y, std::span<const Series> series);

// Round numbers from `least` to `most`, about `count` of them: multiples of 1, 2 or 5 times a power of ten. With `log`
// powers of ten, or 1, 2 and 5 times these where the range has few.
std::vector<double> axis_ticks(double least, double most, bool log, size_t count = 6);

// A number with three significant digits at least, as figures show it: "0.0123", "1234", "3.4e-06".
std::string short_number(double v);

}  // namespace occ
