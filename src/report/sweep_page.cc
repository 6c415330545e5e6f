#include "report/sweep_page.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "report/html.h"
#include "report/plot.h"
#include "report/sweep_losses.h"
#include "report/units.h"

namespace occ {
namespace {

using Figure = std::function<std::optional<double>(const SweepCell&)>;

bool done(const SweepCell& c) { return c.state == SweepCell::State::kDone; }

// One curve for every method. `x` and `y` return nothing where they were not measured.
std::vector<Series> curves(const Sweep& sweep, const Figure& x, const Figure& y, const std::string& what) {
  std::vector<Series> out;
  for (const SweepCell& c : sweep.cells) {
    if (out.empty() || out.back().name != c.method) out.push_back({c.method, {}, Series::Style::kMarked});
    if (!done(c) || !x(c) || !y(c)) continue;
    const std::string hover = fmt::format("{} at --bits {:g}: {:.4f} bits per weight, {} bytes, {} {:.6g}{}", c.method,
                                          c.asked, c.bpw, c.bytes, what, *y(c), c.pareto ? ", Pareto front" : "");
    out.back().points.push_back({*x(c), *y(c), hover, c.pareto});
  }
  for (Series& s : out) {
    std::sort(s.points.begin(), s.points.end(), [](const PlotPoint& a, const PlotPoint& b) { return a.x < b.x; });
  }
  return out;
}

std::optional<double> rate(const SweepCell& c) { return c.bpw; }

std::string loss_figure(const Sweep& s, const std::string& command) {
  std::vector<Series> series = curves(
      s, rate, [](const SweepCell& c) { return std::optional(c.nmse); }, "nmse");
  double least = 1;
  for (const SweepCell& c : s.cells) least = done(c) && c.nmse > 0 ? std::min(least, c.nmse) : least;
  Series limit{"limit", {}, Series::Style::kDashed};
  for (const auto& [bits, nmse] : s.limit) {
    if (nmse >= least / 8) limit.points.push_back({bits, nmse});
  }
  series.push_back(limit);
  return figure(
      "Error of the weights",
      plot({.label = "bits per weight, every byte counted"}, {.label = "nmse", .log = true}, series),
      "Squared error of all decoded weights over their energy. Rings: the Pareto front. Limit: the least error "
      "of any code if the weights of every tensor were independent and Gaussian with the variance of that "
      "tensor; codes that know more of the weights can get below it.",
      command);
}

std::string language_figure(const Sweep& s, const std::string& text, const std::string& command) {
  return figure(
      "KL divergence",
      plot({.label = "bits per weight, every byte counted"}, {.label = "KL divergence, nats per token", .log = true},
           curves(
               s, rate, [](const SweepCell& c) { return c.kl; }, "KL")),
      fmt::format("Mean KL divergence of the predictions from those of the input, on {}.", text), command);
}

std::string perplexity_figure(const Sweep& s, const std::string& text, const std::string& command) {
  std::vector<Series> series = curves(
      s, rate, [](const SweepCell& c) { return c.perplexity; }, "perplexity");
  Series input{"input", {}, Series::Style::kDashed};
  double most = 0;
  for (const SweepCell& c : s.cells) most = done(c) ? std::max(most, c.bpw) : most;
  for (const SweepCell& c : s.cells) {
    if (!input.points.empty() || !c.reference_perplexity) continue;
    input.points = {{0, *c.reference_perplexity}, {most, *c.reference_perplexity}};
  }
  series.push_back(input);
  return figure("Perplexity",
                plot({.label = "bits per weight, every byte counted"}, {.label = "perplexity", .log = true}, series),
                fmt::format("Perplexity on {}; dashed: that of the input.", text), command);
}

std::string encoder_figure(const Sweep& s, const std::string& text, const std::string& command) {
  const auto loss = [](const SweepCell& c) {
    return c.embedding_cosine ? std::optional(1 - *c.embedding_cosine) : std::nullopt;
  };
  return figure("Embeddings",
                plot({.label = "bits per weight, every byte counted"}, {.label = "1 - cosine", .log = true},
                     curves(s, rate, loss, "1 - cosine")),
                fmt::format("1 - mean cosine of the embeddings of the texts of {} with those of the input.", text),
                command);
}

std::string recall_figure(const Sweep& s, const std::string& command) {
  const auto bytes = [](const SweepCell& c) { return std::optional(static_cast<double>(c.bytes) / 1e3); };
  return figure("Recall against bytes",
                plot({.label = "kB of the file", .log = true}, {.label = "recall of the 10 nearest"},
                     curves(
                         s, bytes, [](const SweepCell& c) { return c.recall; }, "recall")),
                "Share of the 10 nearest rows by cosine that stay among the 10 nearest, over at most 1,000 rows.",
                command);
}

std::string optional_cell(const std::optional<double>& v, const std::optional<double>& error, const char* format) {
  if (!v) return "";
  std::string out = fmt::format(fmt::runtime(format), *v);
  return error ? out + " &#177; " + fmt::format(fmt::runtime(format), *error) : out;
}

std::string table(const Sweep& s) {
  struct Column {
    std::string heading;
    std::function<std::string(const SweepCell&)> text;
    bool shown = true;
  };
  const auto any = [&](const auto& has) { return std::any_of(s.cells.begin(), s.cells.end(), has); };
  const std::vector<Column> columns = {
      {"method", [](const SweepCell& c) { return html_escaped(c.method); }},
      {"--bits", [](const SweepCell& c) { return fmt::format("{:g}", c.asked); }},
      {"bytes", [](const SweepCell& c) { return fmt::format("{}", c.bytes); }},
      {"bpw", [](const SweepCell& c) { return fmt::format("{:.4f}", c.bpw); }},
      {"nmse", [](const SweepCell& c) { return number(c.nmse); }},
      {"limit bpw", [](const SweepCell& c) { return fmt::format("{:.3f}", c.limit_bpw); }},
      {"KL", [](const SweepCell& c) { return optional_cell(c.kl, c.kl_stderr, "{:.5f}"); },
       any([](const SweepCell& c) { return c.kl.has_value(); })},
      {"perplexity", [](const SweepCell& c) { return optional_cell(c.perplexity, c.perplexity_stderr, "{:.3f}"); },
       any([](const SweepCell& c) { return c.perplexity.has_value(); })},
      {"cosine of embeddings",
       [](const SweepCell& c) { return optional_cell(c.embedding_cosine, c.embedding_cosine_stderr, "{:.5f}"); },
       any([](const SweepCell& c) { return c.embedding_cosine.has_value(); })},
      {"Spearman", [](const SweepCell& c) { return optional_cell(c.spearman, {}, "{:.5f}"); },
       any([](const SweepCell& c) { return c.spearman.has_value(); })},
      {"row cosine", [](const SweepCell& c) { return optional_cell(c.row_cosine, {}, "{:.5f}"); },
       any([](const SweepCell& c) { return c.row_cosine.has_value(); })},
      {"recall@10", [](const SweepCell& c) { return optional_cell(c.recall, c.recall_stderr, "{:.4f}"); },
       any([](const SweepCell& c) { return c.recall.has_value(); })},
      {"Pareto", [](const SweepCell& c) { return std::string(c.pareto ? "yes" : ""); }},
      {"seconds", [](const SweepCell& c) { return fmt::format("{:.1f}", c.seconds); }},
      {"command", [](const SweepCell& c) { return "<code>" + html_escaped(c.command) + "</code>"; }}};
  std::vector<std::string> headings;
  for (const Column& c : columns) {
    if (c.shown) headings.push_back(c.heading);
  }
  std::vector<std::vector<std::string>> rows;
  for (const SweepCell& cell : s.cells) {
    std::vector<std::string> row;
    for (const Column& c : columns) {
      const bool known = done(cell) || row.size() < 2;
      if (c.shown) row.push_back(known ? c.text(cell) : "");
    }
    if (cell.state == SweepCell::State::kFailed) {
      row.back() = "<span class=\"failed\">failed: " + html_escaped(cell.error) + "</span>";
    } else if (!done(cell)) {
      row.back() = "not done yet";
    }
    rows.push_back(std::move(row));
  }
  return html_table(headings, rows, true);
}

// Most notes are those of every cell.
std::string notes(const Sweep& s) {
  std::map<std::string, size_t> counts;
  for (const SweepCell& c : s.cells) {
    for (const std::string& n : c.notes) ++counts[n];
  }
  std::string out;
  for (const auto& [note, count] : counts) {
    out += fmt::format("<li>{} ({} cell{})</li>\n", html_escaped(note), count, count == 1 ? "" : "s");
  }
  return out.empty() ? "" : "<h2>Notes</h2>\n<ul>\n" + out + "</ul>\n";
}

}  // namespace

std::string sweep_page(const Sweep& s, const SweepOptions& o) {
  const std::string command = o.command, text = o.text.filename().string();
  const auto count = static_cast<size_t>(std::count_if(s.cells.begin(), s.cells.end(), done));
  const auto front = std::count_if(s.cells.begin(), s.cells.end(), [](const auto& c) { return c.pareto; });
  const std::vector<BigNumber> numbers = {
      {human_bytes(static_cast<double>(s.input_bytes)), "the input"},
      {fmt::format("{} of {}", count, s.cells.size()), "cells measured"},
      {fmt::format("{}", front), fmt::format("on the Pareto front of bytes and {}", s.loss)}};
  std::string out = fmt::format("<h1>Sweep of {}</h1>\n", html_escaped(s.input)) + big_numbers(numbers);
  if (s.failed() != 0) {
    out +=
        fmt::format("<p class=\"failed\">{} of {} cells failed, the table says why.</p>\n", s.failed(), s.cells.size());
  }
  std::vector<std::string> all;
  if (s.loss == kLossOfLanguage) all.push_back(language_figure(s, text, command));
  if (s.loss == kLossOfLanguage) all.push_back(perplexity_figure(s, text, command));
  if (s.loss == kLossOfEncoder) all.push_back(encoder_figure(s, text, command));
  all.push_back(loss_figure(s, command));
  if (std::any_of(s.cells.begin(), s.cells.end(), [](const auto& c) { return c.recall.has_value(); })) {
    all.push_back(recall_figure(s, command));
  }
  out += "<h2>Rate and loss</h2>\n" + figures(all);
  out += "<h2>All cells</h2>\n" + table(s);
  out += fmt::format(
      "<p class=\"caption\">bpw: bits per weight, every byte of the file counted. nmse: squared error over energy of "
      "all "
      "weights. limit bpw: fewest bits at that error, see above. &#177;: standard error. Pareto: no other cell has "
      "both "
      "fewer bytes and less {}. The command writes the file of a cell.</p>\n",
      html_escaped(s.loss));
  return html_page("Sweep of " + s.input, out + notes(s));
}

}  // namespace occ
