// Subword models, which turn one word into token ids after a text has been split: BPE (bpe.h) or WordPiece
// (wordpiece.h).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "tokenizer/tokenizer.h"

namespace occ {

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return hash64(text); }
};
template <typename T>
using StringMap = std::unordered_map<std::string, T, StringHash, std::equal_to<>>;

// Maps ids to the texts of tokens and back. An id without a token has an empty text, which is not in `ids`.
struct Vocabulary {
  std::vector<std::string> tokens;
  StringMap<TokenId> ids;

  std::optional<TokenId> find(std::string_view text) const {
    const auto it = ids.find(text);
    return it == ids.end() ? std::nullopt : std::optional(it->second);
  }
};

class SubwordModel {
 public:
  virtual ~SubwordModel() = default;
  // Appends the ids of a word to `out`. The word must be valid UTF-8 and not empty. Thread-safe.
  virtual void encode(std::string_view word, std::vector<TokenId>& out) const = 0;
};

}  // namespace occ
