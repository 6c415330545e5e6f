#include "report/comparison_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "metrics/limits.h"
#include "report/charts.h"
#include "report/html.h"
#include "report/tensor_figures.h"
#include "report/units.h"

namespace occ {
namespace {

std::string recall_figure(const Comparison& c, const std::string& command) {
  std::vector<Bar> list;
  for (const TensorComparison& t : c.tensors) {
    if (!t.cosines || list.size() == 40) continue;
    list.push_back(
        {t.name, t.cosines->recall(), fmt::format("{:.4f}", t.cosines->recall()), t.cosines->recall_stderr(), 0});
  }
  return figure("Nearest neighbours", bars(list),
                "Share of the 10 nearest rows by cosine that stay among the 10 nearest, over at most 1,000 rows of a "
                "tensor, with standard errors. Tensors beyond the first 40 are in the table.",
                command);
}

std::string table(const Comparison& c) {
  std::vector<std::string> headings = {"tensor", "weights", "bytes", "bpw", "nmse", "cosine", "max abs"};
  if (c.total.weighted) headings.emplace_back("nmse of outputs");
  if (c.total.cosines) {
    for (const char* h : {"row cosine", "pair rmse", "recall@10"}) headings.emplace_back(h);
  }
  std::vector<std::vector<std::string>> rows;
  const auto add = [&](const std::string& name, const TensorComparison& t, double bpw) {
    const DistortionAccumulator& d = t.distortion;
    std::vector<std::string> row = {
        html_escaped(name), fmt::format("{}", d.elements()), fmt::format("{}", t.bytes), number(bpw),
        number(d.nmse()),   number(d.cosine(), 6),           number(d.max_abs())};
    if (c.total.weighted) row.push_back(t.weighted ? number(t.weighted->nmse()) : "");
    if (c.total.cosines) {
      for (const double v : {t.cosines->mean(), t.cosines->pair_rmse(), t.cosines->recall()}) row.push_back(number(v));
    }
    rows.push_back(std::move(row));
  };
  for (const TensorComparison& t : c.tensors) add(t.name, t, t.bpw());
  add("total", c.total, c.bpw);
  return html_table(headings, rows, false);
}

}  // namespace

std::string comparison_page(const Comparison& c, const TensorFile& a, const TensorFile& b, const std::string& command) {
  const auto first = static_cast<double>(a.file_bytes()), second = static_cast<double>(b.file_bytes());
  std::vector<BigNumber> numbers = {
      {human_bytes(second), fmt::format("{}, {} bits per weight", b.path(), number(c.bpw))},
      {number(first / second, 3) + " times", fmt::format("smaller than {} ({})", a.path(), human_bytes(first))},
      {number(c.total.distortion.nmse()), "nmse of all weights"}};
  if (c.total.cosines) numbers.push_back({number(c.total.cosines->recall()), "recall of the 10 nearest rows"});
  std::string out =
      fmt::format("<h1>{} against {}</h1>\n", html_escaped(b.path()), html_escaped(a.path())) + big_numbers(numbers);
  std::vector<std::string> notes;
  for (const std::string& name : c.only_in_a) notes.push_back(fmt::format("'{}' is only in {}", name, a.path()));
  for (const std::string& name : c.unequal) notes.push_back(fmt::format("'{}' differs in type or values", name));
  if (!notes.empty()) out += "<h2>Notes</h2>\n<ul>\n";
  for (const std::string& n : notes) out += fmt::format("<li>{}</li>\n", html_escaped(n));
  if (!notes.empty()) out += "</ul>\n";
  std::vector<TensorFigure> tensors;
  uint64_t rest = b.file_bytes();  // without tensors that were not compared
  for (const TensorInfo& t : b.tensors()) rest -= std::min(rest, t.stored_bytes);
  for (const TensorComparison& t : c.tensors) {
    TensorFigure f{t.name, t.distortion.elements(), t.bytes};
    const double nmse = t.distortion.nmse();
    f.coded = nmse > 0;
    if (f.coded && std::isfinite(nmse)) f.nmse = nmse, f.limit_bpw = gaussian_rate(nmse);
    tensors.push_back(std::move(f));
  }
  std::vector<std::string> all = tensor_figures(tensors, rest, a.path(), command);
  if (c.total.cosines) all.push_back(recall_figure(c, command));
  out += "<h2>Bits, bytes and errors</h2>\n" + figures(all);
  return html_page(b.path(), out + "<h2>Tensors</h2>\n" + table(c));
}

}  // namespace occ
