#include "report/evaluation_page.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/charts.h"
#include "report/html.h"
#include "report/units.h"

namespace occ {
namespace {

std::string plus_minus(double v, double error) { return fmt::format("{:.5g} \u00b1 {:.2g}", v, error); }

BigNumber loss_number(const Evaluation& e) {
  if (e.perplexity && e.perplexity->divergence) {
    return {number(e.perplexity->divergence->kl_mean), "KL divergence, nats per token"};
  }
  if (e.pairs) return {number(e.pairs->cosine.mean, 5), "cosine of the embeddings with those of the reference"};
  if (e.perplexity) return {number(e.perplexity->perplexity), "perplexity"};
  if (e.probe) return {number(e.probe->acc.mean), "accuracy of the probe"};
  if (!e.tasks.empty()) return {number(e.tasks[0].acc), "accuracy on " + e.tasks[0].name};
  return {"-", "nothing measured"};
}

std::string perplexity_figure(const Evaluation& e, const std::string& command) {
  const PerplexityResult& r = *e.perplexity;
  std::vector<Bar> list = {
      {"model", r.perplexity, plus_minus(r.perplexity, r.perplexity_stderr), r.perplexity_stderr, 0}};
  if (r.divergence) {
    list.push_back({"reference", r.divergence->reference_perplexity,
                    fmt::format("{:.5g}", r.divergence->reference_perplexity), 0, 2});
  }
  return figure(
      "Perplexity", bars(list),
      fmt::format("exp of the mean negative log-likelihood of {} tokens of {} in {} chunks, with its standard error.",
                  r.tokens, e.text, r.chunks),
      command);
}

std::string divergence_figure(const Evaluation& e, const std::string& command) {
  const Divergence& d = *e.perplexity->divergence;
  const std::vector<Bar> list = {{"mean", d.kl_mean, plus_minus(d.kl_mean, d.kl_stderr), d.kl_stderr, 0},
                                 {"99th percentile", d.kl_p99, fmt::format("{:.5g}", d.kl_p99), 0, 1},
                                 {"maximum", d.kl_max, fmt::format("{:.5g}", d.kl_max), 0, 1}};
  return figure(
      "KL divergence", bars(list),
      fmt::format("KL divergence of the predictions from those of the reference in nats, over {} tokens of {}. Both "
                  "think the same token the most likely at {} of them.",
                  e.perplexity->tokens, e.text, plus_minus(d.top1_agreement, d.top1_stderr)),
      command);
}

std::string task_figure(const Evaluation& e, const std::string& command) {
  std::vector<Bar> list;
  for (const TaskResult& t : e.tasks) {
    list.push_back({t.name, t.acc, plus_minus(t.acc, t.acc_stderr), t.acc_stderr, 0});
    list.push_back({t.name + ", by byte", t.acc_norm, plus_minus(t.acc_norm, t.acc_norm_stderr), t.acc_norm_stderr, 4});
  }
  return figure(
      "Tasks", bars(list),
      "Share of right answers by the likelihood of the answer, and by its likelihood per byte, with standard errors.",
      command);
}

std::string encoder_figure(const Evaluation& e, const std::string& command) {
  std::vector<Bar> list;
  if (e.pairs) {
    list.push_back({"cosine", e.pairs->cosine.mean, plus_minus(e.pairs->cosine.mean, e.pairs->cosine.standard_error),
                    e.pairs->cosine.standard_error, 0});
    list.push_back({"Spearman", e.pairs->spearman, fmt::format("{:.5g}", e.pairs->spearman), 0, 2});
  }
  if (e.probe) {
    const Mean acc = e.probe->acc;
    list.push_back({"probe", acc.mean, plus_minus(acc.mean, acc.standard_error), acc.standard_error, 1});
    if (e.probe->reference_acc) {
      const Mean ref = *e.probe->reference_acc;
      list.push_back({"probe, reference", ref.mean, plus_minus(ref.mean, ref.standard_error), ref.standard_error, 4});
    }
  }
  return figure(
      "Embeddings", bars(list),
      "Cosine: mean over the first texts of the pairs of the embedding with that of the reference. Spearman: rank "
      "correlation of the similarities of the pairs with those of the reference. Probe: accuracy of a linear "
      "classifier on the embeddings. With standard errors.",
      command);
}

// The lines of a text as HTML.
std::string lines(const std::string& text) {
  std::string out;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (at != 0) out += '\n';
    out += html_escaped(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

std::string answers(const Evaluation& e, const std::string& command) {
  std::string out = "<div class=\"answers\">";
  if (e.reference_answer) {
    out += fmt::format("<div><b>reference</b><p>{}</p></div>", lines(e.prompt + *e.reference_answer));
  }
  out += fmt::format("<div><b>model</b><p>{}</p></div></div>\n", lines(e.prompt + e.answer));
  return figure("The same prompt", out, "Continued by both with always the likeliest token.", command);
}

}  // namespace

std::string evaluation_page(const Evaluation& e, const std::string& command) {
  std::vector<BigNumber> numbers = {{human_bytes(static_cast<double>(e.bytes)), e.model}};
  if (!e.reference.empty()) {
    const double ratio = static_cast<double>(e.reference_bytes) / static_cast<double>(e.bytes);
    numbers.push_back({number(ratio, 3) + " times", fmt::format("smaller than {} ({})", e.reference,
                                                                human_bytes(static_cast<double>(e.reference_bytes)))});
  }
  numbers.push_back(loss_number(e));
  std::vector<std::string> all;
  if (e.perplexity && e.perplexity->divergence) all.push_back(divergence_figure(e, command));
  if (e.perplexity) all.push_back(perplexity_figure(e, command));
  if (e.pairs || e.probe) all.push_back(encoder_figure(e, command));
  if (!e.tasks.empty()) all.push_back(task_figure(e, command));
  std::string out = fmt::format("<h1>Evaluation of {}</h1>\n", html_escaped(e.model)) + big_numbers(numbers);
  if (!all.empty()) out += "<h2>What it loses</h2>\n" + figures(all);
  if (!e.prompt.empty()) out += "<h2>What it says</h2>\n" + answers(e, command);
  return html_page("Evaluation of " + e.model, out);
}

}  // namespace occ
