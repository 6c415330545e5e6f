#include <cstdio>

#include "base/error.h"
#include "base/file.h"
#include "chat/chat.h"
#include "cli/cli.h"
#include "tokenizer/tokenizer.h"

namespace occ {
namespace {

struct TokenizeArguments {
  std::string model, prompt, text, messages;
  bool no_special = false, json = false;
};

void run(const TokenizeArguments& a, bool has_prompt) {
  const bool chat = !a.messages.empty();
  if (chat && a.no_special) throw_usage("--no-special: expected without --messages, whose text has special tokens");
  const std::unique_ptr<Tokenizer> tokenizer = open_tokenizer(a.model);
  std::string text = a.prompt;
  if (!has_prompt) {
    const Bytes bytes = read_file(chat ? a.messages : a.text);
    text.assign(bytes.begin(), bytes.end());
  }
  EncodeOptions options{.add_special = !a.no_special, .parse_special = !a.no_special};
  if (chat) {
    text = render_chat(*tokenizer, text, a.messages, {});
    options.add_special = false;  // the template has written what stands around the text
  }
  const std::vector<TokenId> ids = tokenizer->encode(text, options);
  if (a.json && chat) {
    print_json({{"text", text}, {"tokens", ids}});
  } else if (a.json) {
    print_json({{"tokens", ids}});
  } else {
    std::puts(fmt::format("{}", fmt::join(ids, " ")).c_str());
  }
}

}  // namespace

void add_tokenize(CLI::App& app, const Globals&) {
  CLI::App* cmd = app.add_subcommand("tokenize", "Print the token ids of a text");
  auto a = std::make_shared<TokenizeArguments>();
  cmd->add_option("model", a->model, "Model of any format, tokenizer.json, or GGUF with only a vocabulary")->required();
  CLI::Option_group* source = cmd->add_option_group("text");
  const CLI::Option* prompt = source->add_option("--prompt", a->prompt, "The text itself");
  source->add_option("--text", a->text, "File with the text");
  source->add_option(
      "--messages", a->messages,
      "JSON file with a list of messages (role, content), or an object with messages and tools: the text "
      "that the model's chat template makes of them, up to the beginning of an answer");
  source->require_option(1);
  cmd->add_flag("--no-special", a->no_special,
                "Add no special tokens (BOS, [CLS], ...) and read special strings as plain text");
  cmd->add_flag("--json", a->json, "{\"tokens\": [...]}; with --messages also the \"text\"");
  cmd->callback([a, prompt] { run(*a, prompt->count() > 0); });
}

}  // namespace occ
