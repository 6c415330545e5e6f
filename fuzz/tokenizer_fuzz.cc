// Parts that end with a NUL byte: tokenizer.json or gguf.json, tokenizer_config.json (may be empty), a text. Any bytes
// are refused with occ::Error, or become a tokenizer whose ids are below its size and that can decode them.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "occ/error.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const uint8_t* end = data + size;
  const auto part = [&] {
    const uint8_t* stop = std::find(data, end, uint8_t{0});
    occ::Bytes bytes(data, stop);
    data = stop == end ? end : stop + 1;
    return bytes;
  };
  const occ::Bytes vocabulary = part(), config = part();
  // Patterns may be slow by themselves: short texts.
  const std::string text(data, end - std::max<std::ptrdiff_t>(0, end - data - 256));
  const std::string start(vocabulary.begin(),
                          vocabulary.begin() + std::min<std::ptrdiff_t>(20, std::ssize(vocabulary)));
  const bool gguf = start.find("metadata") != std::string::npos;
  std::vector<occ::SideFile> files = {{gguf ? "gguf.json" : "tokenizer.json", vocabulary}};
  if (!config.empty()) files.push_back({"tokenizer_config.json", config});
  try {
    const auto tokenizer = occ::make_tokenizer(files, "fuzz");
    for (const bool special : {true, false}) {
      const auto ids = tokenizer->encode(text, {.add_special = special, .parse_special = special});
      for (const occ::TokenId id : ids) {
        OCC_CHECK(id >= 0 && static_cast<size_t>(id) < tokenizer->vocab_size());
        tokenizer->piece(id, true);
      }
      tokenizer->decode(ids, special);
    }
    const occ::ChatMessage messages[] = {{"system", text}, {"user", text}, {"assistant", text}, {"user", "x"}};
    occ::render_chat(*tokenizer, messages, true);
  } catch (const occ::Error&) {
  }
  return 0;
}
