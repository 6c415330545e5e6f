#include <algorithm>
#include <cstdio>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/outputs.h"
#include "base/parallel.h"
#include "cli/cli.h"
#include "container/archive_file.h"
#include "evaluation/encoder_quality.h"
#include "evaluation/perplexity.h"
#include "evaluation/tasks.h"
#include "model/generate.h"
#include "model/language_model.h"
#include "model/mended_file.h"
#include "report/evaluation_page.h"

namespace occ {
namespace {

using nlohmann::ordered_json;

struct EvaluateArguments {
  std::string model, reference, text, pairs, prompt, report, arithmetic = "f32";
  std::vector<std::string> tasks, probe;
  size_t context = 0, max_tokens = 0, limit = 0;
  bool json = false, force = false;
};

std::string read_text(const std::string& path) {
  const Bytes bytes = read_file(path);
  return {bytes.begin(), bytes.end()};
}

std::string plus_minus(double value, double error, const char* format = "{:.4f}") {
  return fmt::format(fmt::runtime(format), value) + " +- " + fmt::format(fmt::runtime(format), error);
}

void print_row(const std::string& name, const std::string& value) {
  std::printf("%-22s %s\n", name.c_str(), value.c_str());
}

void report_perplexity(const PerplexityResult& r, ordered_json* json, bool print) {
  (*json)["perplexity"] = finite_or_null(r.perplexity);
  (*json)["perplexity_stderr"] = finite_or_null(r.perplexity_stderr);
  (*json)["tokens"] = r.tokens;
  (*json)["nll"] = finite_or_null(r.nll);
  if (r.divergence) {
    const Divergence& d = *r.divergence;
    (*json)["kl_mean"] = finite_or_null(d.kl_mean);
    (*json)["kl_stderr"] = finite_or_null(d.kl_stderr);
    (*json)["kl_p99"] = finite_or_null(d.kl_p99);
    (*json)["kl_max"] = finite_or_null(d.kl_max);
    (*json)["top1_agreement"] = d.top1_agreement;
    (*json)["top1_stderr"] = d.top1_stderr;
    (*json)["reference_perplexity"] = finite_or_null(d.reference_perplexity);
  }
  if (!print) return;
  print_row("perplexity", plus_minus(r.perplexity, r.perplexity_stderr) +
                              fmt::format("  ({} tokens scored in {} chunks)", r.tokens, r.chunks));
  if (!r.divergence) return;
  const Divergence& d = *r.divergence;
  print_row("reference perplexity", fmt::format("{:.4f}", d.reference_perplexity));
  print_row("KL divergence",
            plus_minus(d.kl_mean, d.kl_stderr, "{:.5f}") + fmt::format("  (99th percentile {:.4f}, nats)", d.kl_p99));
  print_row("top-1 agreement", plus_minus(d.top1_agreement, d.top1_stderr));
}

// Usage error if the reference has a tokenizer of its own that cuts the text into other tokens. Its logits would then
// be about other tokens than those of the model.
void require_same_tokens(const EvaluateArguments& a, const LanguageModel& model, const TensorFile& reference,
                         const std::string& text) {
  const std::vector<SideFile> files = reference.side_files();
  const bool has_tokenizer = std::any_of(files.begin(), files.end(), [](const SideFile& f) {
    return f.name == "tokenizer.json" || f.name == "gguf.json";
  });
  if (!has_tokenizer) return;
  const std::string_view head = std::string_view(text).substr(0, 100'000);
  const EncodeOptions plain{.add_special = true, .parse_special = false};
  if (make_tokenizer(reference)->encode(head, plain) != model.tokenizer->encode(head, plain)) {
    throw_usage("--reference: {} cuts the text into other tokens than {}", a.reference, a.model);
  }
}

constexpr size_t kAnswerTokens = 128;

// What a model makes of a prompt, always the likeliest token.
std::string answer(const Transformer& model, const Tokenizer& tokenizer, const EvaluateArguments& a) {
  const std::vector<TokenId> prompt = tokenizer.encode(a.prompt);
  if (prompt.empty()) throw_input("{}: its tokenizer makes no token of the prompt", a.model);
  GenerateOptions how;
  how.max_tokens = kAnswerTokens;
  how.sampling.temperature = 0;
  const size_t most = model.config().max_context, wanted = prompt.size() + kAnswerTokens;
  return Generator(model, tokenizer, most == 0 ? wanted : std::min(most, wanted)).run(prompt, how, {}).text;
}

void evaluate_causal(const EvaluateArguments& a, const Globals& globals, const TransformerOptions& options,
                     Evaluation* page) {
  std::optional<std::string> text;
  if (!a.text.empty()) text = read_text(a.text);
  std::vector<Task> tasks;
  for (const std::string& path : a.tasks) tasks.push_back(read_task(path, a.limit));
  if (!text && tasks.empty() && a.prompt.empty()) {
    throw_usage("nothing to measure: expected --text FILE, --task FILE or --prompt TEXT");
  }
  if (!text && (a.context != 0 || a.max_tokens != 0)) throw_usage("--context and --max-tokens: expected with --text");
  if (tasks.empty() && a.limit != 0) throw_usage("--limit: expected with --task, --pairs or --probe");
  if (!a.reference.empty() && !text && a.prompt.empty()) {
    throw_usage("--reference: expected with --text, --prompt, --pairs or --probe");
  }

  const ProgressFn bar = progress_bar(globals, "tokens"), items = progress_bar(globals, "items");
  const LanguageModel model = open_language_model(a.model, options);
  print_source_notes(*model.file, globals);
  page->bytes = model.file->file_bytes();
  LanguageModel reference;
  if (!a.reference.empty()) {
    reference.file = open_model_file(a.reference);
    page->reference_bytes = reference.file->file_bytes();
    if (is_encoder(*reference.file)) throw_usage("--reference: expected a causal model like {}", a.model);
    // The reference always runs in f32, even if the model under test runs in another arithmetic.
    reference.transformer = load_transformer(*reference.file, {.arithmetic = Arithmetic::kF32, .observer = {}});
    require_same_tokens(a, model, *reference.file, text ? *text : a.prompt);
  }
  ordered_json json;
  const bool print = !a.json;
  if (text) {
    PerplexityOptions how;
    const size_t most = model.transformer->config().max_context;
    if (most != 0 && most < 4)
      throw_input("{}: expected a model that takes at least 4 tokens, found {}", a.model, most);
    how.context = a.context;
    how.max_tokens = a.max_tokens;
    how.progress = [&](uint64_t done, uint64_t total) {
      if (bar) bar("text", done, total);
    };
    const PerplexityResult result =
        measure_perplexity(*model.transformer, *model.tokenizer, *text, a.text, reference.transformer.get(), how);
    end_progress();
    report_perplexity(result, &json, print);
    page->perplexity = result;
    page->text = a.text;
  }
  json["tasks"] = ordered_json::array();
  for (const Task& task : tasks) {
    const TaskResult r = measure_task(*model.transformer, *model.tokenizer, task, [&](uint64_t done, uint64_t total) {
      if (items) items(task.name.c_str(), done, total);
    });
    end_progress();
    page->tasks.push_back(r);
    json["tasks"].push_back({{"name", r.name},
                             {"acc", r.acc},
                             {"acc_norm", r.acc_norm},
                             {"n", r.n},
                             {"acc_stderr", r.acc_stderr},
                             {"acc_norm_stderr", r.acc_norm_stderr}});
    if (print) {
      print_row(r.name, "acc " + plus_minus(r.acc, r.acc_stderr) + "  acc_norm " +
                            plus_minus(r.acc_norm, r.acc_norm_stderr) + fmt::format("  ({} items)", r.n));
    }
  }
  if (!a.prompt.empty()) {
    json["prompt"] = page->prompt = a.prompt;
    json["answer"] = page->answer = answer(*model.transformer, *model.tokenizer, a);
    if (print) std::printf("model: %s%s\n", a.prompt.c_str(), page->answer.c_str());
    if (reference.transformer) {
      page->reference_answer = answer(*reference.transformer, *model.tokenizer, a);
      json["reference_answer"] = *page->reference_answer;
      if (print) std::printf("reference: %s%s\n", a.prompt.c_str(), page->reference_answer->c_str());
    }
  }
  if (a.json) print_json(json);
}

void report_pairs(const PairsResult& r, ordered_json* json, bool print) {
  (*json)["pairs"] = {{"spearman", finite_or_null(r.spearman)},
                      {"cosine", r.cosine.mean},
                      {"cosine_stderr", r.cosine.standard_error},
                      {"n", r.n}};
  if (!print) return;
  print_row("pairs", fmt::format("spearman {:.5f}  ({} pairs)", r.spearman, r.n));
  print_row("cosine to reference", plus_minus(r.cosine.mean, r.cosine.standard_error, "{:.5f}"));
}

void report_probe(const ProbeResult& r, ordered_json* json, bool print) {
  ordered_json& out = (*json)["probe"];
  out = {{"acc", r.acc.mean}, {"acc_stderr", r.acc.standard_error}, {"n", r.n}};
  if (r.reference_acc) out["reference_acc"] = r.reference_acc->mean;
  if (!print) return;
  print_row("probe", "acc " + plus_minus(r.acc.mean, r.acc.standard_error) +
                         fmt::format("  ({} texts, trained on {})", r.n, r.trained_on));
  if (!r.reference_acc) return;
  print_row("probe of reference", "acc " + plus_minus(r.reference_acc->mean, r.reference_acc->standard_error));
}

void evaluate_encoder(const EvaluateArguments& a, const Globals& globals, const TransformerOptions& options,
                      Evaluation* page) {
  if (!a.text.empty() || !a.tasks.empty() || !a.prompt.empty()) {
    throw_usage("vectors of {} are measured, which have no perplexity: expected only --pairs or --probe", a.model);
  }
  if (a.context != 0 || a.max_tokens != 0) throw_usage("--context and --max-tokens: expected with --text");
  if (a.pairs.empty() && a.probe.empty())
    throw_usage("nothing to measure: expected --pairs FILE or --probe TRAIN,TEST");
  if (!a.pairs.empty() && a.reference.empty()) {
    throw_usage("--pairs: expected --reference, the uncompressed model to compare similarities with");
  }
  const ProgressFn bar = progress_bar(globals, "texts");
  const auto progress = [&](uint64_t done, uint64_t total) {
    if (bar) bar("embed", done, total);
  };
  const EncoderModel model = open_encoder(a.model, options);
  print_source_notes(*model.file, globals);
  page->bytes = model.file->file_bytes();
  std::optional<EncoderModel> reference;
  if (!a.reference.empty()) {
    reference = open_encoder(a.reference, {.arithmetic = Arithmetic::kF32, .observer = {}});
    page->reference_bytes = reference->file->file_bytes();
  }
  ordered_json json;
  if (!a.pairs.empty()) {
    const PairsResult r = measure_pairs(model, *reference, a.pairs, a.limit, progress);
    end_progress();
    report_pairs(r, &json, !a.json);
    page->pairs = r;
  }
  if (!a.probe.empty()) {
    const ProbeResult r =
        measure_probe(model, reference ? &*reference : nullptr, a.probe[0], a.probe[1], a.limit, progress);
    end_progress();
    report_probe(r, &json, !a.json);
    page->probe = r;
  }
  if (a.json) print_json(json);
}

void run(const EvaluateArguments& a, const Globals& globals) {
  const ThreadLimit limit(globals.threads);
  TransformerOptions options;
  options.arithmetic = a.arithmetic == "f32" ? Arithmetic::kF32 : Arithmetic::kInt8;
  if (!a.report.empty()) {
    std::vector<std::string> inputs = {a.model, a.reference, a.text, a.pairs};
    for (const auto* more : {&a.tasks, &a.probe}) inputs.insert(inputs.end(), more->begin(), more->end());
    for (const std::string& input : inputs) {
      if (!input.empty()) require_not_input(a.report, input);
    }
    require_writable_target(a.report, a.force);
  }
  Evaluation page;
  page.model = a.model;
  page.reference = a.reference;
  if (!a.pairs.empty() || !a.probe.empty() || is_encoder(*open_any(a.model))) {
    evaluate_encoder(a, globals, options, &page);
  } else {
    evaluate_causal(a, globals, options, &page);
  }
  if (!a.report.empty()) write_file(a.report, evaluation_page(page, globals.command));
}

}  // namespace

void add_evaluate(CLI::App& app, const Globals& globals) {
  CLI::App* cmd = app.add_subcommand("evaluate", "Perplexity, KL divergence, tasks; similarities of embeddings");
  auto a = std::make_shared<EvaluateArguments>();
  cmd->add_option("model", a->model, "Hugging Face folder, .gguf or archive")->required();
  cmd->add_option("--text", a->text, "Perplexity on this text");
  cmd->add_option("--context", a->context,
                  "Tokens of a chunk; the second half is scored (default 512, or what the model takes)")
      ->check(CLI::Range(4, 1 << 30));
  cmd->add_option("--max-tokens", a->max_tokens, "Only the first so many tokens of the text (default: all)")
      ->check(CLI::Range(0, 1 << 30));
  cmd->add_option("--reference", a->reference,
                  "Model to measure from: KL divergence and top-1 agreement, similarities");
  cmd->add_option("--task", a->tasks, "Multiple choice or last word, one JSON object a line; may be repeated")
      ->allow_extra_args(false);
  cmd->add_option("--pairs", a->pairs,
                  "Embedding models: sentence pairs, with a tab between, or lines paired with the next");
  cmd->add_option("--probe", a->probe, "Embedding models: TRAIN,TEST, files with a label and a text a line")
      ->delimiter(',')
      ->expected(2);
  cmd->add_option("--limit", a->limit, "Only the first so many items of tasks, pairs and texts (default: all)")
      ->check(CLI::Range(0, 1 << 30));
  cmd->add_option("--arithmetic", a->arithmetic,
                  "f32: weights as decoded, in RAM; int8: as `generate` runs, codes in RAM, activations in int8 (the "
                  "reference is always f32)")
      ->check(CLI::IsMember({"f32", "int8"}))
      ->capture_default_str();
  cmd->add_option("--prompt", a->prompt,
                  "Text that the model and the reference continue, always with the likeliest token");
  cmd->add_option("--report", a->report, "HTML page to write");
  cmd->add_flag("--force", a->force, "Replace an existing page");
  cmd->add_flag("--json", a->json, "One JSON document on stdout");
  cmd->callback([a, &globals] { run(*a, globals); });
}

}  // namespace occ
