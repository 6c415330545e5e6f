#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "base/error.h"
#include "base/parallel.h"
#include "chat/chat.h"
#include "cli/cli.h"
#include "model/generate.h"
#include "model/language_model.h"

namespace occ {
namespace {

struct GenerateArguments {
  std::string model, prompt, system, arithmetic = "int8";
  bool chat = false, prompt_given = false;
  size_t context = 4096;
  GenerateOptions options;
};

void show(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

std::string rate(size_t tokens, double seconds) {
  return fmt::format("{} tokens, {:.1f} tokens/s", tokens, seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0);
}

// Prints the speed on stderr. The first generated token comes from the logits of the prompt, so its time counts as time
// of the prompt.
void show_speed(const Generated& g, const Globals& globals) {
  if (globals.quiet) return;
  const char* ends[] = {"", ", end of text", ", stop text", ", context is full"};
  std::fprintf(stderr, "prompt: %s; generated: %zu tokens", rate(g.prompt_tokens, g.prompt_seconds).c_str(), g.tokens);
  if (g.tokens > 1) std::fprintf(stderr, ", %.1f tokens/s", static_cast<double>(g.tokens - 1) / g.seconds);
  std::fprintf(stderr, "%s\n", ends[static_cast<size_t>(g.end)]);
}

void show_memory(const LanguageModel& model) {
  uint64_t weights = 0;
  for (const TensorInfo& info : model.file->tensors()) weights += info.shape.size() == 2 ? info.elements() : 0;
  const auto bytes = static_cast<double>(model.transformer->weight_bytes());
  std::fprintf(stderr, "weights: %.2f GB in memory, %.2f bits per weight\n", bytes / 1e9,
               8 * bytes / static_cast<double>(std::max<uint64_t>(1, weights)));
}

// Returns the conversation as tokens. The oldest turns are dropped until there is room for an answer.
std::vector<TokenId> chat_tokens(const GenerateArguments& a, const LanguageModel& model, size_t capacity,
                                 std::vector<ChatMessage>* messages) {
  const auto first = a.system.empty() ? 0 : 1;
  while (true) {
    std::vector<TokenId> tokens = model.tokenizer->encode(render_chat(*model.tokenizer, *messages, {}),
                                                          {.add_special = false, .parse_special = true});
    const size_t room = std::min(a.options.max_tokens, capacity / 4);
    if (tokens.size() + room <= capacity || messages->size() < static_cast<size_t>(first) + 3) return tokens;
    messages->erase(messages->begin() + first, messages->begin() + first + 2);
  }
}

void chat(const GenerateArguments& a, const LanguageModel& model, Generator& generator, const Globals& globals) {
  std::vector<ChatMessage> messages;
  if (!a.system.empty()) messages.push_back({"system", a.system});
  const bool terminal = isatty(STDIN_FILENO) != 0 && !a.prompt_given;
  for (bool more = true; more;) {
    std::string line = a.prompt;
    if (a.prompt_given) {
      more = false;
    } else {
      if (terminal) std::fputs("> ", stderr);
      if (!std::getline(std::cin, line)) break;
      if (line.empty()) continue;
    }
    messages.push_back({"user", line});
    const std::vector<TokenId> tokens = chat_tokens(a, model, generator.capacity(), &messages);
    const Generated answer = generator.run(tokens, a.options, show);
    show("\n");
    show_speed(answer, globals);
    messages.push_back({"assistant", answer.text});
  }
}

void run(GenerateArguments& a, const Globals& globals) {
  if (!a.chat && !a.prompt_given) throw_usage("expected --prompt TEXT or --chat");
  if (!a.system.empty() && !a.chat) throw_usage("--system: expected with --chat");
  const ThreadLimit limit(globals.threads);
  const Sampler check(a.options.sampling);  // reports wrong options before the model is loaded
  const LanguageModel model = open_language_model(
      a.model, {.arithmetic = a.arithmetic == "f32" ? Arithmetic::kF32 : Arithmetic::kInt8, .observer = {}});
  print_source_notes(*model.file, globals);
  if (globals.verbose && !globals.quiet) show_memory(model);
  const size_t most = model.transformer->config().max_context;
  Generator generator(*model.transformer, *model.tokenizer, most == 0 ? a.context : std::min(a.context, most));
  if (a.chat) return chat(a, model, generator, globals);
  const std::vector<TokenId> prompt = model.tokenizer->encode(a.prompt);
  if (prompt.empty() && !a.prompt.empty()) throw_input("{}: its tokenizer makes no token of the prompt", a.model);
  const Generated g = generator.run(prompt, a.options, show);
  show("\n");
  show_speed(g, globals);
}

}  // namespace

void add_generate(CLI::App& app, const Globals& globals) {
  CLI::App* cmd = app.add_subcommand("generate", "Continue a prompt, or chat, straight from the compressed file");
  auto a = std::make_shared<GenerateArguments>();
  a->options.sampling.temperature = 0.7f;
  a->options.sampling.top_p = 0.95f;
  cmd->add_option("model", a->model, "Hugging Face folder, .gguf or archive")->required();
  CLI::Option* prompt = cmd->add_option("--prompt", a->prompt, "Text to continue; with --chat the one question");
  cmd->add_flag("--chat", a->chat, "In the model's chat format; without --prompt questions are read from stdin");
  cmd->add_option("--system", a->system, "System message of a chat (default: what the model's chat format has)");
  cmd->add_option("-n,--max-tokens", a->options.max_tokens, "Most tokens to generate")
      ->check(CLI::Range(1, 1 << 30))
      ->capture_default_str();
  cmd->add_option("--temperature", a->options.sampling.temperature, "0: always the likeliest token")
      ->capture_default_str();
  cmd->add_option("--top-p", a->options.sampling.top_p,
                  "Only the likeliest tokens that together have this probability (1: all)")
      ->capture_default_str();
  cmd->add_option("--top-k", a->options.sampling.top_k, "Only the K likeliest tokens (0: all)")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
  cmd->add_option("--stop", a->options.stop, "Text that ends the output; may be repeated")->allow_extra_args(false);
  cmd->add_option("--seed", a->options.sampling.seed, "Of the random choices: the same seed gives the same text")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  cmd->add_option("--context", a->context, "Tokens of prompt and answers that are kept (at most what the model takes)")
      ->check(CLI::Range(1, 1 << 30))
      ->capture_default_str();
  cmd->add_option("--arithmetic", a->arithmetic, "int8: codes in RAM, activations in int8; f32: weights as floats")
      ->check(CLI::IsMember({"f32", "int8"}))
      ->capture_default_str();
  cmd->add_flag("--ignore-end", a->options.ignore_end, "Go on after the end of the text, to measure speed");
  cmd->callback([a, prompt, &globals] {
    a->prompt_given = prompt->count() > 0;
    run(*a, globals);
  });
}

}  // namespace occ
