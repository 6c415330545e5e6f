#include "container/merges.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/error.h"
#include "io/json.h"

namespace occ {
namespace {

using nlohmann::json;
using Pair = std::pair<std::string, std::string>;

constexpr size_t kMostTokenBytes = 256;  // merges are not derived from longer tokens
constexpr size_t kGiveUp = 8;            // gives up if more than one in this many merges differs

// Returns the value of an entry of gguf.json, or null.
const json* gguf_value(const json& document, std::string_view key) {
  if (!document.contains("metadata") || !document["metadata"].is_array()) return nullptr;
  for (const json& entry : document["metadata"]) {
    if (entry.is_object() && entry.contains("key") && entry["key"] == key && entry.contains("value")) {
      return &entry["value"];
    }
  }
  return nullptr;
}

// Returns the tokens in the order of their ids. Empty if the document has no vocabulary.
std::vector<std::string> vocabulary(const json& document) {
  std::vector<std::string> tokens;
  if (!document.is_object()) return tokens;
  if (const json* list = gguf_value(document, "tokenizer.ggml.tokens"); list != nullptr && list->is_array()) {
    for (const json& t : *list) tokens.push_back(t.is_string() ? t.get<std::string>() : "");
    return tokens;
  }
  if (!document.contains("model") || !document["model"].is_object() || !document["model"].contains("vocab")) return {};
  const json& vocab = document["model"]["vocab"];
  if (!vocab.is_object()) return {};
  std::vector<std::pair<uint64_t, std::string>> by_id;
  for (const auto& [token, id] : vocab.items()) {
    if (!id.is_number_unsigned()) return {};
    by_id.emplace_back(id.get<uint64_t>(), token);
  }
  std::sort(by_id.begin(), by_id.end());
  for (auto& [id, token] : by_id) tokens.push_back(std::move(token));
  return tokens;
}

const json* merges_of(const json& document) {
  if (!document.is_object()) return nullptr;
  const json* list = gguf_value(document, "tokenizer.ggml.merges");
  if (list == nullptr && document.contains("model") && document["model"].is_object() &&
      document["model"].contains("merges")) {
    list = &document["model"]["merges"];
  }
  return list != nullptr && list->is_array() && !list->empty() ? list : nullptr;
}

std::optional<Pair> pair_of(const json& merge) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return Pair{merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  if (!merge.is_string()) return std::nullopt;
  const std::string text = merge.get<std::string>();
  const size_t space = text.find(' ');
  if (space == std::string::npos) return std::nullopt;
  return Pair{text.substr(0, space), text.substr(space + 1)};
}

// Derives the merges one after the other.
class Derivation {
 public:
  explicit Derivation(const std::vector<std::string>& tokens) : tokens_(tokens) {
    for (size_t i = 0; i < tokens.size(); ++i) place_.emplace(tokens[i], i);
  }
  // Returns the next merge that follows from the vocabulary and the merges before it, if there is one.
  std::optional<Pair> next() {
    for (; at_ < tokens_.size(); ++at_) {
      std::vector<std::string> parts = split(tokens_[at_]);
      if (parts.size() == 2) return Pair{std::move(parts[0]), std::move(parts[1])};
    }
    return std::nullopt;
  }
  // Sets the true next merge. The search continues after the token that this merge makes.
  void accept(const Pair& merge) {
    const size_t rank = ranks_.size();
    ranks_.emplace(key(merge.first, merge.second), rank);
    if (const auto made = place_.find(merge.first + merge.second); made != place_.end()) at_ = made->second + 1;
  }

 private:
  static std::string key(std::string_view left, std::string_view right) {
    return std::string(left) + '\0' + std::string(right);
  }

  // Splits a token by all merges so far: always applies the earliest possible merge, at all its places from left to
  // right.
  std::vector<std::string> split(const std::string& token) const {
    std::vector<std::string> parts;
    if (token.size() > kMostTokenBytes) return parts;
    for (const char c : token) {
      if (parts.empty() || (static_cast<unsigned char>(c) & 0xc0) != 0x80) parts.emplace_back();
      parts.back() += c;
    }
    while (parts.size() > 1) {
      size_t best = SIZE_MAX, where = 0;
      for (size_t i = 0; i + 1 < parts.size(); ++i) {
        const auto rank = ranks_.find(key(parts[i], parts[i + 1]));
        if (rank != ranks_.end() && rank->second < best) best = rank->second, where = i;
      }
      if (best == SIZE_MAX) break;
      const std::string left = parts[where], right = parts[where + 1];
      std::vector<std::string> merged;
      for (size_t i = 0; i < parts.size(); ++i) {
        const bool here = i + 1 < parts.size() && parts[i] == left && parts[i + 1] == right;
        merged.push_back(here ? left + right : parts[i]);
        if (here) ++i;
      }
      parts = std::move(merged);
    }
    return parts;
  }

  const std::vector<std::string>& tokens_;
  std::unordered_map<std::string, size_t> place_, ranks_;
  size_t at_ = 0;
};

// Returns a text as it is written between the quotes of a JSON string.
std::string json_text(const std::string& text) {
  const std::string with_quotes = json(text).dump();
  return with_quotes.substr(1, with_quotes.size() - 2);
}

// Returns the byte after the closing bracket of the array that begins at `open`, or 0.
size_t end_of_array(std::string_view text, size_t open) {
  size_t depth = 0;
  bool in_string = false;
  for (size_t i = open; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[') {
      ++depth;
    } else if (c == ']' && --depth == 0) {
      return i + 1;
    }
  }
  return 0;
}

// Finds the text between the brackets of the array of merges.
std::optional<std::pair<size_t, size_t>> find_array(std::string_view text, std::string_view key,
                                                    std::string_view before) {
  const size_t at = text.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  const size_t value = before.empty() ? at : text.find(before, at);
  const size_t open = value == std::string_view::npos ? value : text.find('[', value);
  const size_t end = open == std::string_view::npos ? 0 : end_of_array(text, open);
  if (end == 0) return std::nullopt;
  return std::pair{open + 1, end - 1};
}

// Learns what is printed around and between the parts from the first two merges.
bool learn_style(std::string_view array, const Pair& first, const Pair* second, MergesText* out) {
  const std::string left = json_text(first.first), right = json_text(first.second);
  const size_t a = array.find('"');
  if (a == std::string_view::npos || array.substr(a + 1, left.size()) != left) return false;
  out->open = array.substr(0, a + 1);
  const size_t b = a + 1 + left.size();
  const size_t c = array.find(right, array[b] == '"' ? array.find('"', b + 1) : b + 1);
  if (c == std::string_view::npos) return false;
  out->pair = array.substr(b, c - b);
  const size_t d = c + right.size();
  if (second != nullptr) {
    const size_t quote = array.find('"', d + 1);
    if (quote == std::string_view::npos) return false;
    out->next = array.substr(d, quote + 1 - d);
  }
  const size_t last = array.rfind('"');
  if (last == std::string_view::npos || last < d) return false;
  out->close = array.substr(last);
  return true;
}

}  // namespace

std::optional<MergesText> take_merges(std::string* text) {
  json document;
  try {
    document = parse_json(*text, "tokenizer");
  } catch (const Error&) {
    return std::nullopt;
  }
  const json* merges = merges_of(document);
  const std::vector<std::string> tokens = vocabulary(document);
  if (merges == nullptr || tokens.empty()) return std::nullopt;
  MergesText out;
  out.count = merges->size();
  Derivation derivation(tokens);
  std::vector<Pair> pairs;
  for (size_t k = 0; k < merges->size(); ++k) {
    std::optional<Pair> merge = pair_of((*merges)[k]);
    if (!merge) return std::nullopt;
    if (derivation.next() != merge) out.others.push_back({k, merge->first, merge->second});
    if (out.others.size() > 16 + k / kGiveUp) return std::nullopt;
    derivation.accept(*merge);
    if (pairs.size() < 2) pairs.push_back(std::move(*merge));
  }
  const bool gguf = gguf_value(document, "tokenizer.ggml.merges") != nullptr;
  const auto found = find_array(*text, gguf ? "\"tokenizer.ggml.merges\"" : "\"merges\"", gguf ? "\"value\"" : "");
  if (!found) return std::nullopt;
  const auto [begin, end] = *found;
  const std::string_view array = std::string_view(*text).substr(begin, end - begin);
  if (!learn_style(array, pairs[0], pairs.size() > 1 ? &pairs[1] : nullptr, &out)) return std::nullopt;
  out.at = begin;
  std::string shortened = text->substr(0, begin) + text->substr(end);
  try {
    if (with_merges(shortened, out, text->size(), "tokenizer") != *text) return std::nullopt;
  } catch (const Error&) {
    return std::nullopt;
  }
  *text = std::move(shortened);
  return out;
}

std::string with_merges(std::string_view shortened, const MergesText& merges, uint64_t most, const std::string& what) {
  if (merges.at > shortened.size()) {
    throw_input("{}: expected merges at a byte up to {}, found {}", what, shortened.size(), merges.at);
  }
  const json document = parse_json(shortened, what);
  const std::vector<std::string> tokens = vocabulary(document);
  Derivation derivation(tokens);
  std::string out(shortened.substr(0, merges.at));
  out += merges.open;
  auto other = merges.others.begin();
  for (uint64_t k = 0; k < merges.count; ++k) {
    std::optional<Pair> merge = derivation.next();
    if (other != merges.others.end() && other->merge == k) {
      merge = Pair{other->left, other->right};
      ++other;
    }
    if (!merge) throw_input("{}: expected {} merges, its vocabulary gives {}", what, merges.count, k);
    derivation.accept(*merge);
    if (k > 0) out += merges.next;
    out += json_text(merge->first) + merges.pair + json_text(merge->second);
    if (out.size() > most) throw_input("{}: expected at most {} bytes with its merges, found more", what, most);
  }
  out += merges.close;
  out += shortened.substr(merges.at);
  if (out.size() > most) throw_input("{}: expected at most {} bytes with its merges, found {}", what, most, out.size());
  return out;
}

}  // namespace occ
