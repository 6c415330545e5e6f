// The input has three parts with a NUL byte between them: tokenizer.json or gguf.json, tokenizer_config.json (may be
// empty), and a text. Any bytes must be refused with occ::Error or give a tokenizer. The token ids of the text must
// then be below the size of the vocabulary, and the tokenizer must be able to decode them.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "chat/chat.h"
#include "occ/error.h"
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
  // The patterns of a tokenizer can be slow for any text, so at most 256 bytes of text are used.
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
    occ::render_chat(*tokenizer, messages, {.add_generation_prompt = true, .time = occ::kFixedChatTime});
  } catch (const occ::Error&) {
  }
  return 0;
}
