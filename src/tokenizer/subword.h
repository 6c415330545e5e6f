// What a tokenizer does with one word after splitting: BPE (bpe.h) or WordPiece (wordpiece.h).
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

// Tokens by id and back. Ids may have holes (an empty text).
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
  // Appends the ids of a word, which is valid UTF-8 and not empty. Thread-safe.
  virtual void encode(std::string_view word, std::vector<TokenId>& out) const = 0;
};

}  // namespace occ
