#include "report/charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "report/html.h"
#include "report/plot.h"

namespace occ {
namespace {

constexpr double kWidth = 440;

// About how many characters of the text size of figures fit.
size_t characters(double width, double size = 11.5) {
  return static_cast<size_t>(std::max(0.0, width / (0.56 * size)));
}

std::string shortened(const std::string& text, size_t most) {
  if (text.size() <= most) return text;
  return most < 3 ? "" : text.substr(0, most - 1) + ".";
}

}  // namespace

std::string bars(std::span<const Bar> list) {
  constexpr double kRow = 22, kMostLabel = 150, kTextRoom = 90;
  if (list.empty()) return "<p>Nothing to draw.</p>\n";
  double most = 0, least = 0, label = 0;
  for (const Bar& b : list) {
    label = std::max(label, std::min(kMostLabel, 6.5 * static_cast<double>(b.label.size()) + 8));
    if (!std::isfinite(b.value)) continue;
    most = std::max(most, b.value + b.error);
    least = std::min(least, b.value - b.error);
  }
  const double unit = most > least ? (kWidth - label - kTextRoom) / (most - least) : 0;
  const auto x_of = [&](double v) { return label + (v - least) * unit; };
  const double height = kRow * static_cast<double>(list.size()) + 4;
  std::string out = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"bars\">\n", kWidth, height);
  for (size_t i = 0; i < list.size(); ++i) {
    const Bar& b = list[i];
    const double y = kRow * static_cast<double>(i) + 2;
    const std::string name = html_escaped(b.label), text = html_escaped(b.text);
    out += fmt::format("<g class=\"{}\"><title>{}: {}</title><text x=\"{:.1f}\" y=\"{:.1f}\" class=\"end\">{}</text>",
                       series_class(b.colour), name, text, label - 6, y + 14,
                       html_escaped(shortened(b.label, characters(label))));
    if (std::isfinite(b.value)) {
      const double from = x_of(std::min(0.0, b.value)), to = x_of(std::max(0.0, b.value)),
                   end = x_of(b.value + b.error);
      out += fmt::format("<rect class=\"fill\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>", from,
                         y + 2, std::max(0.5, to - from), kRow - 5);
      if (b.error > 0) {
        out += fmt::format("<path class=\"whisker\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>", x_of(b.value - b.error),
                           y + kRow / 2, end);
      }
      out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", std::max(to, end) + 5, y + 14, text);
    }
    out += "</g>\n";
  }
  return out + "</svg>\n";
}

std::string heat_map(std::span<const std::string> rows, std::span<const std::string> columns,
                     std::span<const std::vector<HeatCell>> cells, bool log) {
  constexpr double kRow = 19, kTop = 82;
  double least = INFINITY, most = -INFINITY, label = 20;
  const auto level = [&](double v) { return log ? std::log(v) : v; };
  const auto shown = [&](const HeatCell& c) { return c.value && std::isfinite(level(*c.value)); };
  for (const std::string& r : rows) label = std::max(label, std::min(110.0, 6.5 * static_cast<double>(r.size()) + 8));
  for (const auto& row : cells) {
    for (const HeatCell& c : row) {
      if (!shown(c)) continue;
      least = std::min(least, level(*c.value));
      most = std::max(most, level(*c.value));
    }
  }
  if (!(most >= least)) return "<p>Nothing to draw.</p>\n";
  const double wide = std::min(56.0, (kWidth - label - 34) / static_cast<double>(columns.size()));
  std::string out = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"heat map\">\n", kWidth,
                                kTop + kRow * static_cast<double>(rows.size()) + 4);
  for (size_t k = 0; k < columns.size(); ++k) {
    out +=
        fmt::format("<text transform=\"translate({:.1f} {}) rotate(-50)\">{}</text>\n",
                    label + wide * (static_cast<double>(k) + 0.4), kTop - 5, html_escaped(shortened(columns[k], 15)));
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    const double y = kTop + kRow * static_cast<double>(r);
    out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"end\">{}</text>\n", label - 6, y + 13,
                       html_escaped(shortened(rows[r], characters(label))));
    for (size_t k = 0; k < columns.size(); ++k) {
      const HeatCell& c = cells[r][k];
      if (!shown(c)) continue;
      const double share = most > least ? (level(*c.value) - least) / (most - least) : 0.5,
                   x = label + wide * static_cast<double>(k);
      const std::string text = short_number(*c.value);
      out += fmt::format(
          "<g><title>{}</title><rect class=\"heat\" fill-opacity=\"{:.2f}\" x=\"{:.1f}\" y=\"{:.1f}\" "
          "width=\"{:.1f}\" height=\"{}\"/>",
          html_escaped(c.hover), 0.06 + 0.64 * share, x + 0.5, y + 0.5, wide - 1, kRow - 1);
      if (text.size() <= characters(wide, 10)) {
        out +=
            fmt::format("<text class=\"small middle\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", x + wide / 2, y + 13, text);
      }
      out += "</g>\n";
    }
  }
  return out + "</svg>\n";
}

std::vector<Rectangle> squarified(std::span<const double> sizes, double width, double height) {
  std::vector<Rectangle> out;
  double left = std::accumulate(sizes.begin(), sizes.end(), 0.0), x = 0, y = 0;
  for (size_t first = 0; first < sizes.size();) {
    // A row along the shorter side takes items as long as the worst of its ratios gets better.
    const double side = std::min(width - x, height - y), scale = (width - x) * (height - y) / left;
    double sum = 0, best = INFINITY;
    size_t last = first;
    for (; last < sizes.size(); ++last) {
      const double more = sum + sizes[last], depth = more * scale / side;
      const double longest = sizes[first] * scale / depth, shortest = sizes[last] * scale / depth;
      const double worst = std::max(longest / depth, depth / shortest);
      if (worst > best) break;
      best = worst;
      sum = more;
    }
    const double depth = sum * scale / side;
    double at = 0;
    const bool column = width - x >= height - y;  // the row stands at the left, its items one below the other
    for (size_t i = first; i < last; ++i) {
      const double length = sizes[i] * scale / depth;
      out.push_back(column ? Rectangle{x, y + at, depth, length} : Rectangle{x + at, y, length, depth});
      at += length;
    }
    (column ? x : y) += depth;
    left -= sum;
    first = last;
  }
  return out;
}

std::string treemap(std::span<const TreemapItem> items) {
  constexpr double kHeight = 300;
  std::vector<const TreemapItem*> sorted;
  for (const TreemapItem& i : items) {
    if (i.size > 0 && std::isfinite(i.size)) sorted.push_back(&i);
  }
  if (sorted.empty()) return "<p>Nothing to draw.</p>\n";
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->size > b->size; });
  std::vector<double> sizes;
  for (const TreemapItem* i : sorted) sizes.push_back(i->size);
  const std::vector<Rectangle> places = squarified(sizes, kWidth, kHeight);
  std::string out = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"treemap\">\n", kWidth, kHeight);
  for (size_t k = 0; k < places.size(); ++k) {
    const Rectangle& r = places[k];
    out += fmt::format(
        "<g class=\"{}\"><title>{}</title><rect class=\"fill edge\" fill-opacity=\".45\" x=\"{:.2f}\" "
        "y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\"/>",
        series_class(sorted[k]->colour), html_escaped(sorted[k]->hover), r.x, r.y, r.width, r.height);
    const std::string text = shortened(sorted[k]->label, characters(r.width - 6));
    if (r.height >= 16 && text.size() >= 3) {
      out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", r.x + 4, r.y + 13, html_escaped(text));
    }
    out += "</g>\n";
  }
  return out + "</svg>\n";
}

}  // namespace occ
