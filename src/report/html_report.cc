#include "report/html_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/html.h"

namespace occ {
namespace {

std::string cell(std::string_view text) { return fmt::format("<td>{}</td>", text); }
std::string cell(const std::optional<double>& value) {
  return cell(value && std::isfinite(*value) ? fmt::format("{:.4g}", *value) : "");
}

// Draws a bar for every coded tensor, as high as its bits per weight, with a mark at its limit.
std::string plot(const CompressReport& r) {
  constexpr double kWidth = 1000, kHeight = 220, kLeft = 40, kBottom = 20;
  double most = 1;
  size_t count = 0;
  for (const TensorReport& t : r.tensors) {
    if (t.recipe.empty()) continue;
    ++count;
    most = std::max(most, t.bpw());
  }
  if (count == 0) return "";
  const double step = (kWidth - kLeft) / static_cast<double>(count), unit = (kHeight - kBottom) / most;
  std::string out = fmt::format("<svg viewBox=\"0 0 {} {}\" width=\"100%\">\n", kWidth, kHeight);
  const double tick = most > 8 ? 2 : most > 3 ? 1 : 0.5;
  for (double b = 0; b <= most; b += tick) {
    const double y = kHeight - kBottom - b * unit;
    out += fmt::format(
        "<line x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\" class=\"grid\"/><text x=\"{}\" y=\"{:.1f}\" "
        "text-anchor=\"end\">{:g}</text>\n",
        kLeft, kWidth, y, y, kLeft - 6, y + 4, b);
  }
  double x = kLeft;
  for (const TensorReport& t : r.tensors) {
    if (t.recipe.empty()) continue;
    const double width = std::max(step * 0.8, 0.5), height = t.bpw() * unit;
    out += fmt::format(
        "<rect class=\"code\" x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\"><title>{}: {:.3f} "
        "bits</title></rect>\n",
        x, kHeight - kBottom - height, width, height, html_escaped(t.name), t.bpw());
    if (t.limit_bpw && std::isfinite(*t.limit_bpw)) {
      out += fmt::format("<rect class=\"limit\" x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"2\"/>\n", x,
                         kHeight - kBottom - std::min(*t.limit_bpw, most) * unit - 1, width);
    }
    x += step;
  }
  return out + fmt::format(
                   "<text x=\"{}\" y=\"{}\">bits per weight of every coded tensor, in the order of the file; red: the "
                   "least that any code takes for this error (Gaussian weights)</text>\n</svg>\n",
                   kLeft, kHeight - 4);
}

}  // namespace

std::string html_report(const CompressReport& r, const std::string& input, const std::string& output) {
  std::string out = fmt::format(
      "<h1>{} &rarr; {}</h1>\n<p>{} &rarr; {} bytes, {:.4f} bits per weight, nmse {:.4g}, {:.0f} s, {:.0f} MB of "
      "memory, {}.</p>\n",
      html_escaped(input), html_escaped(output), r.input_bytes, r.file_bytes, r.bpw(), r.nmse, r.seconds,
      static_cast<double>(r.peak_bytes) / 1e6, r.verified ? "verified" : "not verified");
  if (!r.notes.empty()) {
    out += "<h2>Notes</h2>\n<ul>\n";
    for (const std::string& note : r.notes) out += fmt::format("<li>{}</li>\n", html_escaped(note));
    out += "</ul>\n";
  }
  out += "<h2>Tensors</h2>\n" + plot(r);
  out +=
      "<div class=\"scroll\"><table "
      "class=\"words\"><thead><tr><th>tensor</th><th>shape</th><th>bytes</th><th>bpw</th><th>limit</th>"
      "<th>gap</th><th>nmse</th><th>weighted</th><th>sensitivity</th><th>coded as</th></tr></thead><tbody>\n";
  for (const TensorReport& t : r.tensors) {
    out += "<tr>" + cell(html_escaped(t.name)) + cell(fmt::format("{}", fmt::join(t.shape, " x "))) +
           cell(fmt::format("{}", t.bytes)) + cell(t.bpw()) + cell(t.limit_bpw) + cell(t.gap_bits()) +
           cell(t.recipe.empty() ? std::nullopt : std::optional(t.nmse)) + cell(t.weighted_error) +
           cell(t.sensitivity) +
           cell(html_escaped(t.recipe.empty() ? "kept: " + t.note : t.recipe + (t.note.empty() ? "" : "; " + t.note))) +
           "</tr>\n";
  }
  return html_page(output, out + "</tbody></table></div>\n");
}

}  // namespace occ
