#include <cstdio>

#include "base/error.h"
#include "base/file.h"
#include "cli/cli.h"
#include "tokenizer/tokenizer.h"

namespace occ {
namespace {

struct Arguments {
  std::string model, prompt, text;
  bool no_special = false, json = false;
};

void run(const Arguments& a, bool has_prompt) {
  const std::unique_ptr<Tokenizer> tokenizer = open_tokenizer(a.model);
  std::string text = a.prompt;
  if (!has_prompt) {
    const Bytes bytes = read_file(a.text);
    text.assign(bytes.begin(), bytes.end());
  }
  const std::vector<TokenId> ids =
      tokenizer->encode(text, {.add_special = !a.no_special, .parse_special = !a.no_special});
  if (a.json) {
    print_json({{"tokens", ids}});
  } else {
    std::puts(fmt::format("{}", fmt::join(ids, " ")).c_str());
  }
}

}  // namespace

void add_tokenize(CLI::App& app, const Globals&) {
  CLI::App* cmd = app.add_subcommand("tokenize", "Print the token ids of a text");
  auto a = std::make_shared<Arguments>();
  cmd->add_option("model", a->model, "Model of any format, tokenizer.json, or GGUF with only a vocabulary")->required();
  CLI::Option_group* source = cmd->add_option_group("text");
  const CLI::Option* prompt = source->add_option("--prompt", a->prompt, "The text itself");
  source->add_option("--text", a->text, "File with the text");
  source->require_option(1);
  cmd->add_flag("--no-special", a->no_special,
                "Add no special tokens (BOS, [CLS], ...) and read special strings as plain text");
  cmd->add_flag("--json", a->json, "{\"tokens\": [...]}");
  cmd->callback([a, prompt] { run(*a, prompt->count() > 0); });
}

}  // namespace occ
