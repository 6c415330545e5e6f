#include "report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/html.h"

namespace occ {
namespace {

constexpr double kPlotWidth = 440, kHeight = 290, kLeft = 66, kRight = 12, kTop = 10, kBottom = 44;

// Maps values to positions on the page.
class Scale {
 public:
  Scale(const Axis& axis, std::vector<double> values, double from, double to) : log_(axis.log), from_(from), to_(to) {
    std::erase_if(values, [&](double v) { return !std::isfinite(v) || (log_ && v <= 0); });
    if (values.empty() && !(axis.least && axis.most)) return;
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    least_ = axis.least ? *axis.least : *low;
    most_ = axis.most ? *axis.most : *high;
    if (!(most_ > least_)) {
      least_ = log_ ? least_ / 2 : least_ - 0.5;
      most_ = log_ ? most_ * 2 : most_ + 0.5;
    }
    const double margin = 0.04 * (inner(most_) - inner(least_));
    if (!axis.least) least_ = outer(inner(least_) - margin);
    if (!axis.most) most_ = outer(inner(most_) + margin);
    valid_ = true;
  }
  bool valid() const { return valid_; }
  bool takes(double v) const { return std::isfinite(v) && (!log_ || v > 0); }
  double at(double v) const {
    const double share = (inner(v) - inner(least_)) / (inner(most_) - inner(least_));
    return from_ + std::clamp(share, 0.0, 1.0) * (to_ - from_);
  }
  std::vector<double> ticks(size_t count) const { return axis_ticks(least_, most_, log_, count); }

 private:
  double inner(double v) const { return log_ ? std::log10(v) : v; }
  double outer(double v) const { return log_ ? std::pow(10, v) : v; }

  bool log_, valid_ = false;
  double from_, to_, least_ = 0, most_ = 1;
};

std::string grid(const Axis& x, const Axis& y, const Scale& sx, const Scale& sy) {
  std::string out;
  for (const double v : sx.ticks(6)) {
    out += fmt::format(
        "<path class=\"grid\" d=\"M{0:.1f} {1}V{2}\"/><text x=\"{0:.1f}\" y=\"{3}\" class=\"middle\">{4}</text>\n",
        sx.at(v), kTop, kHeight - kBottom, kHeight - kBottom + 16, short_number(v));
  }
  for (const double v : sy.ticks(6)) {
    out += fmt::format(
        "<path class=\"grid\" d=\"M{0} {1:.1f}H{2}\"/><text x=\"{3}\" y=\"{4:.1f}\" class=\"end\">{5}</text>\n", kLeft,
        sy.at(v), kPlotWidth - kRight, kLeft - 6, sy.at(v) + 4, short_number(v));
  }
  out += fmt::format("<text x=\"{:.0f}\" y=\"{}\" class=\"middle axis\">{}</text>\n", (kLeft + kPlotWidth - kRight) / 2,
                     kHeight - 8, html_escaped(x.label));
  return out + fmt::format("<text transform=\"translate(12 {:.0f}) rotate(-90)\" class=\"middle axis\">{}</text>\n",
                           (kTop + kHeight - kBottom) / 2, html_escaped(y.label));
}

std::string line(const Series& s, const Scale& sx, const Scale& sy) {
  std::string d;
  bool open = false;
  for (const PlotPoint& p : s.points) {
    if (!sx.takes(p.x) || !sy.takes(p.y)) {
      open = false;
      continue;
    }
    d += fmt::format("{}{:.1f} {:.1f}", open ? "L" : "M", sx.at(p.x), sy.at(p.y));
    open = true;
  }
  return fmt::format("<path class=\"line{}\" d=\"{}\"/>\n", s.style == Series::Style::kDashed ? " limit" : "", d);
}

std::string outline(const Series& s, const Scale& sx, const Scale& sy) {
  if (s.points.size() < 2) return "";
  const double half = (s.points[1].x - s.points[0].x) / 2;
  std::string d;
  for (const PlotPoint& p : s.points) {
    if (!sx.takes(p.x) || !sy.takes(p.y)) continue;
    d += fmt::format("{}{:.1f} {:.1f}H{:.1f}", d.empty() ? "M" : "L", sx.at(p.x - half), sy.at(p.y), sx.at(p.x + half));
  }
  return fmt::format("<path class=\"line\" d=\"{}\"><title>{}</title></path>\n", d, html_escaped(s.name));
}

std::string marks(const Series& s, const Scale& sx, const Scale& sy) {
  std::string out;
  for (const PlotPoint& p : s.points) {
    if (!sx.takes(p.x) || !sy.takes(p.y)) continue;
    const double radius = p.strong ? 5 : s.style == Series::Style::kPoints ? 3 : 3.5;
    out += fmt::format("<circle class=\"dot{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:g}\"><title>{}</title></circle>\n",
                       p.strong ? " strong" : "", sx.at(p.x), sy.at(p.y), radius, html_escaped(p.hover));
  }
  return out;
}

std::string legend(std::span<const Series> series) {
  std::string out = "<ul class=\"legend\">";
  for (size_t i = 0; i < series.size(); ++i) {
    const bool limit = series[i].style == Series::Style::kDashed;
    out += fmt::format("<li class=\"{}\"><i></i>{}</li>", limit ? "ck" : series_class(i), html_escaped(series[i].name));
  }
  return out + "</ul>\n";
}

}  // namespace

std::string plot(const Axis& x, const Axis& y, std::span<const Series> series) {
  std::vector<double> xs, ys;
  for (const Series& s : series) {
    for (const PlotPoint& p : s.points) {
      const double half =
          s.style == Series::Style::kOutline && s.points.size() > 1 ? (s.points[1].x - s.points[0].x) / 2 : 0;
      xs.push_back(p.x - half);
      xs.push_back(p.x + half);
      ys.push_back(p.y);
    }
  }
  const Scale sx(x, xs, kLeft, kPlotWidth - kRight), sy(y, ys, kHeight - kBottom, kTop);
  if (!sx.valid() || !sy.valid()) return "<p>Nothing to draw.</p>\n";
  std::string out = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{} against {}\">\n", kPlotWidth,
                                kHeight, html_escaped(y.label), html_escaped(x.label)) +
                    grid(x, y, sx, sy);
  for (size_t i = 0; i < series.size(); ++i) {
    const Series& s = series[i];
    out += fmt::format("<g class=\"{}\">\n", series_class(i));
    if (s.style == Series::Style::kOutline) {
      out += outline(s, sx, sy);
    } else if (s.style != Series::Style::kPoints) {
      out += line(s, sx, sy);
    }
    if (s.style == Series::Style::kMarked || s.style == Series::Style::kPoints) out += marks(s, sx, sy);
    out += "</g>\n";
  }
  out += "</svg>\n";
  return out + legend(series);
}

std::vector<double> axis_ticks(double least, double most, bool log, size_t count) {
  std::vector<double> out;
  if (!(most > least) || count == 0) return out;
  if (!log) {
    const double rough = (most - least) / static_cast<double>(count),
                 power = std::pow(10, std::floor(std::log10(rough)));
    double step = 10 * power;
    for (const double m : {1.0, 2.0, 5.0}) {
      if (m * power >= rough * (1 - 1e-9)) {
        step = m * power;
        break;
      }
    }
    for (double k = std::ceil(least / step - 1e-9); k * step <= most + 1e-9 * step; ++k)
      out.push_back(k == 0 ? 0 : k * step);
    return out;
  }
  const int low = static_cast<int>(std::floor(std::log10(least))), high = static_cast<int>(std::ceil(std::log10(most)));
  const int step = std::max(1, static_cast<int>(std::ceil((high - low) / static_cast<double>(count))));
  const bool few = std::log10(most / least) < 2.5;
  for (int e = low; e <= high; e += step) {
    for (const double m : {1.0, 2.0, 5.0}) {
      if (m != 1 && !few) continue;
      const double v = m * std::pow(10, e);
      if (v >= least * (1 - 1e-9) && v <= most * (1 + 1e-9)) out.push_back(v);
    }
  }
  return out;
}

std::string short_number(double v) {
  if (v != 0 && std::fabs(v) < 1e-9 && std::fabs(v) < 1e-12) return "0";
  const std::string text = fmt::format("{:.3g}", v);
  return std::fabs(v) >= 1000 && std::fabs(v) < 1e6 ? fmt::format("{:.0f}", v) : text;
}

}  // namespace occ
