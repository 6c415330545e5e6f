#include "report/analysis_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "report/analysis_summary.h"
#include "report/html.h"
#include "report/tensor_kinds.h"

namespace occ {
namespace {

// Tol's colours, which people with colour-blindness can tell apart; systems beyond them share grey.
constexpr const char* kColours[] = {"#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee",
                                    "#aa3377", "#ee8866", "#44bb99", "#99ddff", "#bbcc33"};
std::string colour(size_t system) { return system < std::size(kColours) ? kColours[system] : "#999999"; }

// A table cell that is blue where bits are saved and red where they are lost, fully so from `most` bits on.
std::string shaded(double bits, double most, const std::string& hover) {
  const double strength = most > 0 ? std::min(1.0, std::fabs(bits) / most) : 0;
  return fmt::format("<td style=\"background: rgba({}, {:.2f})\" title=\"{}\">{:+.3f}</td>",
                     bits >= 0 ? "68, 119, 170" : "238, 102, 119", 0.75 * strength, html_escaped(hover), bits);
}

std::string heading(const std::string& first, std::span<const TensorGroup> groups) {
  std::string out = "<tr><th>" + first + "</th>";
  for (const TensorGroup& g : groups) out += "<th>" + html_escaped(g.label) + "</th>";
  return out + "</tr>\n";
}

std::string layer_map(std::span<const TensorAnalysis> tensors, std::span<const TensorGroup> kinds,
                      std::span<const TensorGroup> layers) {
  double most = 0;
  for (const TensorAnalysis& t : tensors) most = std::max(most, t.gain);
  std::string out = "<div class=\"scroll\"><table>" + heading("layer", kinds);
  for (const TensorGroup& layer : layers) {
    out += "<tr><td>" + html_escaped(layer.label) + "</td>";
    for (const TensorGroup& kind : kinds) {
      std::vector<size_t> both;
      std::set_intersection(layer.members.begin(), layer.members.end(), kind.members.begin(), kind.members.end(),
                            std::back_inserter(both));
      const AnalysisSummary s = summarize(tensors, both);
      out += both.empty() ? "<td></td>" : shaded(s.gain, most, s.winners());
    }
    out += "</tr>\n";
  }
  return out + "</table></div>\n";
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
  constexpr double kWidth = 720, kHeight = 360, kLeft = 50, kBottom = 40, kRight = 130, kMostX = 4, kMostY = 1;
  const auto x_of = [&](double octaves) {
    return kLeft + (std::clamp(octaves, -kMostX, kMostX) + kMostX) / (2 * kMostX) * (kWidth - kLeft - kRight);
  };
  const auto y_of = [&](double bits) {
    return (kMostY - std::clamp(bits, -kMostY, kMostY)) / (2 * kMostY) * (kHeight - kBottom - 10) + 10;
  };
  std::string out = fmt::format("<svg viewBox=\"0 0 {0} {1}\" width=\"{0}\" role=\"img\">\n", kWidth, kHeight);
  for (double v = -kMostX; v <= kMostX; v += 2) {
    out += fmt::format(
        "<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"10\" y2=\"{1}\"/><text x=\"{0:.1f}\" y=\"{2}\" "
        "text-anchor=\"middle\">{3:g}x</text>\n",
        x_of(v), kHeight - kBottom, kHeight - kBottom + 14, std::exp2(v));
  }
  for (double v = -kMostY; v <= kMostY; v += 0.5) {
    out += fmt::format(
        "<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/><text x=\"{3}\" y=\"{4:.1f}\" "
        "text-anchor=\"end\">{5:+g}</text>\n",
        kLeft, kWidth - kRight, y_of(v), kLeft - 6, y_of(v) + 4, v);
  }
  out += fmt::format("<text x=\"{}\" y=\"{}\">kurtosis against that of the identity</text>\n", kLeft, kHeight - 6);
  std::map<std::string, size_t> place;
  for (size_t k = 1; k < all.systems.size(); ++k) {
    const std::string& name = all.systems[k].name;
    place[name] = k - 1;
    const double y = 14 + 18 * static_cast<double>(k - 1);
    out += fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"4\" fill=\"{}\"/><text x=\"{}\" y=\"{}\">{}</text>\n",
                       kWidth - kRight + 14, y, colour(k - 1), kWidth - kRight + 24, y + 4, html_escaped(name));
  }
  for (const TensorAnalysis& t : tensors) {
    const SystemFigures& own = t.systems[0];
    for (size_t k = 1; k < t.systems.size(); ++k) {
      const SystemFigures& f = t.systems[k];
      if (!f.bits || !(own.kurtosis > 0) || !(f.kurtosis > 0)) continue;
      const double saved = *own.bits - *f.bits;
      out += fmt::format(
          "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.5\" fill=\"{}\" fill-opacity=\".6\"><title>{}: {} {:+.3f} bits, "
          "kurtosis {:.3g} to {:.3g}</title></circle>\n",
          x_of(std::log2(f.kurtosis / own.kurtosis)), y_of(saved), colour(place[f.name]), html_escaped(t.name),
          html_escaped(f.name), saved, own.kurtosis, f.kurtosis);
    }
  }
  return out + "</svg>\n";
}

std::string caption(const std::string& text) { return "<p class=\"caption\">" + html_escaped(text) + "</p>\n"; }

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
  std::string out = fmt::format(
      "<h1>Coordinates of {}</h1>\n<div class=\"numbers\"><div><b>{:.3f}</b>bits per weight in their own "
      "coordinates</div><div><b>{:.3f}</b>bits per weight saved by the best ones</div><div><b>{} of {}</b>tensors "
      "take others than their own</div></div>\n",
      html_escaped(input), all.identity_bits, all.gain, others, tensors.size());
  out += caption(
      "Real coding with a trellis at the error that a tensor has in its own coordinates, side information "
      "included. To repeat it: " +
      command);
  if (!layers.empty()) {
    out += "<h2>Where another system saves bits</h2>\n" + layer_map(tensors, kinds, layers);
    out += caption(
        "Bits per weight saved by the best system of every tensor, by layer and kind. Hover shows the systems.");
  }
  out += "<h2>What every system saves</h2>\n" + system_map(tensors, kinds, all);
  out += caption(
      "Mean bits per weight saved (blue) or lost (red) against the identity over the tensors that were coded in "
      "the system. Too large: its side information alone takes more than the tensors do.");
  out += "<h2>Is flatter cheaper?</h2>\n" + scatter(tensors, all);
  out += caption(
      "One point for every tensor and system: how much the transform changes the kurtosis of the values (left: "
      "flatter, right: more concentrated) and how many bits per weight it saves. Values beyond the frame lie "
      "on it.");
  out +=
      "<h2>Tensors</h2>\n<div class=\"scroll\"><table class=\"words\"><thead><tr><th>tensor</th><th>shape</th>"
      "<th>bpw</th><th>error</th><th>kurtosis</th><th>saved</th><th>best</th></tr></thead><tbody>\n";
  for (const TensorAnalysis& t : tensors) {
    out += fmt::format(
        "<tr><td>{}</td><td>{}</td><td>{:.3f}</td><td>{:.4g}</td><td>{:.3g}</td><td>{:.3f}</td><td>{}</td></tr>\n",
        html_escaped(t.name), fmt::join(t.shape, " x "), t.systems[0].bits.value_or(0), t.error, t.systems[0].kurtosis,
        t.gain, html_escaped(t.systems[t.best].name));
  }
  return html_page("Coordinates of " + input, out + "</tbody></table></div>\n");
}

}  // namespace occ
