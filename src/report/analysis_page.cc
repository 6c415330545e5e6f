#include "report/analysis_page.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <tuple>

#include "report/analysis_summary.h"
#include "report/charts.h"
#include "report/html.h"
#include "report/plot.h"
#include "report/tensor_kinds.h"

namespace occ {
namespace {

// A table cell that is blue where bits are saved and red where they are lost, fully so from `most` bits on.
std::string shaded(double bits, double most, const std::string& hover) {
  const double strength = most > 0 ? std::min(1.0, std::fabs(bits) / most) : 0;
  return fmt::format("<td style=\"background: rgba(var({}), {:.2f})\" title=\"{}\">{:+.3f}</td>",
                     bits >= 0 ? "--heat" : "--bad", 0.6 * strength, html_escaped(hover), bits);
}

std::string heading(const std::string& first, std::span<const TensorGroup> groups) {
  std::string out = "<tr><th>" + first + "</th>";
  for (const TensorGroup& g : groups) out += "<th>" + html_escaped(g.label) + "</th>";
  return out + "</tr>\n";
}

std::string layer_map(std::span<const TensorAnalysis> tensors, std::span<const TensorGroup> kinds,
                      std::span<const TensorGroup> layers) {
  std::vector<std::string> rows, columns;
  std::vector<std::vector<HeatCell>> cells;
  for (const TensorGroup& kind : kinds) columns.push_back(kind.label);
  for (const TensorGroup& layer : layers) {
    rows.push_back(layer.label);
    cells.emplace_back();
    for (const TensorGroup& kind : kinds) {
      std::vector<size_t> both;
      std::set_intersection(layer.members.begin(), layer.members.end(), kind.members.begin(), kind.members.end(),
                            std::back_inserter(both));
      HeatCell cell;
      if (!both.empty()) {
        const AnalysisSummary s = summarize(tensors, both);
        cell = {s.gain, fmt::format("{} {}: {:.4f} bits saved, {}", layer.label, kind.label, s.gain, s.winners())};
      }
      cells.back().push_back(std::move(cell));
    }
  }
  return heat_map(rows, columns, cells, false);
}

std::string system_map(std::span<const TensorAnalysis> tensors, std::span<const TensorGroup> kinds,
                       const AnalysisSummary& all) {
  constexpr double kFull = 0.5;  // bits per weight
  std::vector<AnalysisSummary> by_kind;
  for (const TensorGroup& kind : kinds) by_kind.push_back(summarize(tensors, kind.members));
  std::string out = "<div class=\"scroll\"><table>" + heading("system", kinds);
  for (const SystemSummary& system : all.systems) {
    out += "<tr><td>" + html_escaped(system.name) + "</td>";
    for (const AnalysisSummary& kind : by_kind) {
      const auto s = std::find_if(kind.systems.begin(), kind.systems.end(),
                                  [&](const SystemSummary& k) { return k.name == system.name; });
      if (s == kind.systems.end()) {
        out += "<td></td>";
      } else if (!s->saved_bits) {
        out += fmt::format("<td title=\"side information alone: {:.3f} bits per weight\">too large</td>", s->side_bits);
      } else {
        out += shaded(*s->saved_bits, kFull,
                      fmt::format("side information {:.3f}, entropy {:.3f}, kurtosis {:.3g}, {} tensors", s->side_bits,
                                  s->entropy, s->kurtosis, s->coded));
      }
    }
    out += "</tr>\n";
  }
  return out + "</table></div>\n";
}

// How much flatter the coefficients became, against the bits that it saved: one point for every tensor and system.
std::string scatter(std::span<const TensorAnalysis> tensors, const AnalysisSummary& all) {
  std::vector<Series> series;
  for (size_t k = 1; k < all.systems.size(); ++k) series.push_back({all.systems[k].name, {}, Series::Style::kPoints});
  for (const TensorAnalysis& t : tensors) {
    const SystemFigures& own = t.systems[0];
    for (size_t k = 1; k < t.systems.size(); ++k) {
      const SystemFigures& f = t.systems[k];
      if (!f.bits || !own.bits || !(own.kurtosis > 0) || !(f.kurtosis > 0)) continue;
      const double saved = *own.bits - *f.bits;
      const auto at = std::find_if(series.begin(), series.end(), [&](const Series& s) { return s.name == f.name; });
      at->points.push_back({f.kurtosis / own.kurtosis, saved,
                            fmt::format("{}: {} {:+.3f} bits, kurtosis {:.3g} to {:.3g}", t.name, f.name, saved,
                                        own.kurtosis, f.kurtosis)});
    }
  }
  return plot({.label = "kurtosis over that of the own coordinates", .log = true, .least = 1.0 / 16, .most = 16},
              {.label = "bits per weight saved", .least = -1, .most = 1}, series);
}

// The values in their own coordinates, flattened by a rotation, and in the systems that win most tensors.
std::string histograms(const AnalysisSummary& all) {
  constexpr size_t kMost = 4;
  std::vector<const SystemSummary*> order;
  for (const SystemSummary& s : all.systems) {
    if (!s.histogram.empty()) order.push_back(&s);
  }
  if (order.empty()) return "";
  std::stable_sort(order.begin() + 1, order.end(), [](const auto* a, const auto* b) {
    return std::tuple(a->wins, a->name == "hadamard") > std::tuple(b->wins, b->name == "hadamard");
  });
  if (order.size() > kMost) order.resize(kMost);
  constexpr double kWidth = SystemFigures::kBinWidth, kMiddle = (SystemFigures::kBins - 1) / 2;
  std::vector<Series> series;
  Series normal{"normal", {}, Series::Style::kDashed};
  for (const SystemSummary* s : order) {
    Series curve{s->name, {}, Series::Style::kOutline};
    for (size_t b = 0; b < s->histogram.size(); ++b) {
      curve.points.push_back({(static_cast<double>(b) - kMiddle) * kWidth, s->histogram[b]});
    }
    series.push_back(std::move(curve));
  }
  for (double x = -4.5; x <= 4.5; x += 0.125) {
    normal.points.push_back({x, kWidth * std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi)});
  }
  series.push_back(std::move(normal));
  return plot({.label = "value over rms"}, {.label = "share of the values", .log = true, .least = 1e-6, .most = 1},
              series);
}

}  // namespace

std::string analysis_page(std::span<const TensorAnalysis> tensors, const std::string& input,
                          const std::string& command) {
  const AnalysisSummary all = summarize(tensors);
  std::vector<std::string> names;
  size_t others = 0;
  for (const TensorAnalysis& t : tensors) {
    names.push_back(t.name);
    others += t.best != 0 ? 1 : 0;
  }
  const std::vector<TensorGroup> kinds = group_by_kind(names), layers = group_by_layer(names);
  const std::vector<BigNumber> numbers = {
      {fmt::format("{:.3f}", all.identity_bits), "bits per weight in their own coordinates"},
      {fmt::format("{:.3f}", all.gain), "bits per weight saved by the best ones"},
      {fmt::format("{} of {}", others, tensors.size()), "tensors take others than their own"}};
  std::string out = fmt::format("<h1>Coordinates of {}</h1>\n", html_escaped(input)) + big_numbers(numbers);
  out += fmt::format(
      "<p class=\"caption\">Real coding with a trellis at the error that a tensor has in its own coordinates, side "
      "information included. <code>{}</code></p>\n",
      html_escaped(command));
  std::vector<std::string> maps;
  if (!layers.empty()) {
    maps.push_back(figure("Where another system saves bits", layer_map(tensors, kinds, layers),
                          "Bits per weight saved by the best system of every tensor, by layer and kind.", command));
  }
  maps.push_back(
      figure("Values before and after", histograms(all),
             "Mean histograms of the values in their own coordinates and of the coefficients in the systems that "
             "win most tensors, in units of the rms of each tensor; bins are a quarter wide, and the outer ones "
             "hold all that is beyond. Dashed: normal values. Flat means near the dashed curve, concentrated "
             "means more values around zero and in the tails.",
             command));
  maps.push_back(
      figure("Is flatter cheaper?", scatter(tensors, all),
             "One point for every tensor and system: how much the transform changes the kurtosis of the values "
             "(left: flatter, right: more concentrated) and how many bits per weight it saves. Values beyond the "
             "frame lie on it.",
             command));
  out += "<h2>Coordinate systems</h2>\n" + figures(maps);
  out +=
      figure("What every system saves", system_map(tensors, kinds, all),
             "Mean bits per weight saved (blue) or lost (red) against the identity over the tensors that were coded in "
             "the system. Too large: its side information alone takes more than the tensors do.",
             command);
  std::vector<std::vector<std::string>> rows;
  for (const TensorAnalysis& t : tensors) {
    rows.push_back({html_escaped(t.name), fmt::format("{}", fmt::join(t.shape, " x ")),
                    fmt::format("{:.3f}", t.systems[0].bits.value_or(0)), fmt::format("{:.4g}", t.error),
                    fmt::format("{:.3g}", t.systems[0].kurtosis), fmt::format("{:.3f}", t.gain),
                    html_escaped(t.systems[t.best].name)});
  }
  const std::vector<std::string> headings = {"tensor", "shape", "bpw", "error", "kurtosis", "saved", "best"};
  return html_page("Coordinates of " + input, out + "<h2>Tensors</h2>\n" + html_table(headings, rows, true));
}

}  // namespace occ
