#include "report/html_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "report/html.h"
#include "report/tensor_figures.h"
#include "report/units.h"

namespace occ {
namespace {

std::string cell(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? fmt::format("{:.4g}", *value) : "";
}

BigNumber loss_number(const CompressReport& r) {
  if (!r.loss) return {number(r.nmse), "nmse of all weights"};
  return {number(*r.loss),
          fmt::format("{} on {} tokens {}", r.loss_is_cosine ? "1 - cosine" : "KL divergence, nats per token,",
                      r.loss_tokens, r.loss_text)};
}

std::string tensor_table(const CompressReport& r) {
  const std::vector<std::string> headings = {"tensor", "shape", "bytes",    "bpw",         "limit",
                                             "gap",    "nmse",  "weighted", "sensitivity", "coded as"};
  std::vector<std::vector<std::string>> rows;
  for (const TensorReport& t : r.tensors) {
    const bool kept = t.recipe.empty();
    rows.push_back({html_escaped(t.name), fmt::format("{}", fmt::join(t.shape, " x ")), fmt::format("{}", t.bytes),
                    cell(t.bpw()), cell(t.limit_bpw), cell(t.gap_bits()),
                    cell(kept ? std::nullopt : std::optional(t.nmse)), cell(t.weighted_error), cell(t.sensitivity),
                    html_escaped(kept ? "kept: " + t.note : t.recipe + (t.note.empty() ? "" : "; " + t.note))});
  }
  return html_table(headings, rows, true);
}

}  // namespace

std::string html_report(const CompressReport& r, const std::string& input, const std::string& output,
                        const std::string& command) {
  const auto in = static_cast<double>(r.input_bytes), file = static_cast<double>(r.file_bytes);
  const std::vector<BigNumber> numbers = {
      {human_bytes(file), fmt::format("the file, {} bits per weight", number(r.bpw()))},
      {number(in / file, 3) + " times", "smaller than the input (" + human_bytes(in) + ")"},
      loss_number(r)};
  std::string out =
      fmt::format("<h1>{} &#8594; {}</h1>\n", html_escaped(input), html_escaped(output)) + big_numbers(numbers);
  out += fmt::format(
      "<p>{} &#8594; {} bytes, {:.4f} bits per weight, nmse {:.4g}, {:.0f} s, {:.0f} MB of memory, {}. "
      "<code>{}</code></p>\n",
      r.input_bytes, r.file_bytes, r.bpw(), r.nmse, r.seconds, static_cast<double>(r.peak_bytes) / 1e6,
      r.verified ? "verified" : "not verified", html_escaped(command));
  if (!r.notes.empty()) {
    out += "<h2>Notes</h2>\n<ul>\n";
    for (const std::string& note : r.notes) out += fmt::format("<li>{}</li>\n", html_escaped(note));
    out += "</ul>\n";
  }
  std::vector<TensorFigure> tensors;
  uint64_t rest = r.file_bytes;
  for (const TensorReport& t : r.tensors) {
    const bool coded = !t.recipe.empty();
    tensors.push_back({t.name, t.elements, t.bytes, coded, coded ? std::optional(t.nmse) : std::nullopt, t.limit_bpw,
                       coded ? t.sensitivity : std::nullopt, t.weighted_error ? *t.weighted_error : t.nmse});
    rest -= std::min(rest, t.bytes);
  }
  out += "<h2>Bits, bytes and loss</h2>\n" + figures(tensor_figures(tensors, rest, "the input", command));
  return html_page(output, out + "<h2>Tensors</h2>\n" + tensor_table(r));
}

}  // namespace occ
