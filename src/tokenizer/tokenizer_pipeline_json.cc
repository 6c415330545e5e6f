#include "tokenizer/tokenizer_pipeline_json.h"

#include <array>

#include "tokenizer/charsmap.h"
#include "tokenizer/limits.h"
#include "tokenizer/unicode.h"
#include "tokenizer/unicode_normalization.h"

namespace occ {
namespace {

constexpr uint64_t kMaxId = (uint64_t{1} << 31) - 1;

[[noreturn]] void unknown(const JsonField& field, const std::string& type, std::string_view known) {
  throw_input("{}: expected one of {}, found '{}'", field.where, known, printable(type));
}

// Before another step of a list.
void require_room(const JsonField& field, size_t steps) {
  if (steps >= kMaxSteps) throw_input("{}: expected at most {} steps, found more", field.where, kMaxSteps);
}

// A text that a step puts in, at every place that it finds.
const std::string& inserted(const JsonField& field) {
  const std::string& text = field.string();
  if (text.size() > kMaxInsertedBytes) field.wrong(fmt::format("at most {} bytes", kMaxInsertedBytes));
  return text;
}

// {"String": "x"} or {"Regex": "x"}; older files have the string itself.
Matcher parse_pattern(const JsonField& field) {
  if (field.present() && field.value->is_string()) return match_string(field.string());
  const JsonField text = field.at("String");
  if (text.present()) return match_string(text.string());
  return match_regex(Regex(field.at("Regex").string(), field.where));
}

SplitBehavior parse_behavior(const JsonField& field) {
  constexpr std::array<std::pair<std::string_view, SplitBehavior>, 5> kNames = {
      {{"Removed", SplitBehavior::kRemoved},
       {"Isolated", SplitBehavior::kIsolated},
       {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
       {"MergedWithNext", SplitBehavior::kMergedWithNext},
       {"Contiguous", SplitBehavior::kContiguous}}};
  for (const auto& [name, behavior] : kNames) {
    if (field.string_or("Isolated") == name) return behavior;
  }
  unknown(field, field.string(), "Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous");
}

PrependScheme parse_scheme(const JsonField& field, bool add_prefix_space) {
  const std::string name = field.string_or(add_prefix_space ? "always" : "never");
  if (name == "always") return PrependScheme::kAlways;
  if (name == "first") return PrependScheme::kFirst;
  if (name == "never") return PrependScheme::kNever;
  unknown(field, name, "always, first, never");
}

Normalizer replace_matches(Matcher matcher, std::string content) {
  return [matcher = std::move(matcher), content = std::move(content)](std::string text) {
    std::string out;
    size_t done = 0;
    for (const auto& [begin, end] : matcher(text)) {
      out.append(text, done, begin - done);
      out += content;
      done = end;
    }
    return out.append(text, done);
  };
}

std::string strip(const std::string& text, bool left, bool right) {
  size_t begin = 0, end = 0;
  bool found = false;
  for (size_t at = 0; at < text.size();) {
    const size_t here = at;
    if (is_white_space(next_char(text, at))) continue;
    if (!found) begin = here;
    found = true;
    end = at;
  }
  if (!found) return left || right ? "" : text;
  return text.substr(left ? begin : 0, (right ? end : text.size()) - (left ? begin : 0));
}

}  // namespace

void parse_normalizer(const JsonField& field, std::vector<Normalizer>& out) {
  if (!field.present()) return;
  require_room(field, out.size());
  const std::string& type = field.at("type").string();
  if (type == "Sequence") {
    const JsonField list = field.at("normalizers");
    for (size_t i = 0; i < list.array().size(); ++i) parse_normalizer(list.item(i), out);
  } else if (type == "Prepend") {
    out.emplace_back(
        [prepend = inserted(field.at("prepend"))](std::string text) { return text.empty() ? text : prepend + text; });
  } else if (type == "Replace") {
    out.push_back(replace_matches(parse_pattern(field.at("pattern")), inserted(field.at("content"))));
  } else if (type == "Strip") {
    out.emplace_back([left = field.at("strip_left").boolean_or(true), right = field.at("strip_right").boolean_or(true)](
                         const std::string& text) { return strip(text, left, right); });
  } else if (type == "NFC") {
    out.emplace_back(to_nfc);
  } else if (type == "NFD") {
    out.emplace_back(to_nfd);
  } else if (type == "NFKC") {
    out.emplace_back(to_nfkc);
  } else if (type == "NFKD") {
    out.emplace_back(to_nfkd);
  } else if (type == "Nmt") {
    out.emplace_back(nmt_normalize);
  } else if (type == "Precompiled") {
    const JsonField map = field.at("precompiled_charsmap");
    out.push_back(precompiled_charsmap(decode_base64(map.string(), map.where), map.where));
  } else if (type == "Lowercase") {
    out.emplace_back(to_lower);
  } else if (type == "StripAccents") {
    out.emplace_back(strip_marks);
  } else if (type == "BertNormalizer") {
    BertOptions options;
    options.clean_text = field.at("clean_text").boolean_or(true);
    options.handle_chinese_chars = field.at("handle_chinese_chars").boolean_or(true);
    options.lowercase = field.at("lowercase").boolean_or(true);
    options.strip_accents = field.at("strip_accents").boolean_or(options.lowercase);
    out.emplace_back([options](const std::string& text) { return bert_normalize(text, options); });
  } else if (type == "ByteLevel") {
    out.emplace_back(bytes_to_chars);
  } else {
    unknown(field, type,
            "Sequence, Prepend, Replace, Strip, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Lowercase, StripAccents, "
            "BertNormalizer, ByteLevel");
  }
}

bool parse_pre_tokenizer(const JsonField& field, std::vector<PreTokenizer>& out) {
  if (!field.present()) return false;
  require_room(field, out.size());
  const std::string& type = field.at("type").string();
  const auto by_pattern = [&](const char* pattern, SplitBehavior behavior, bool invert = false) {
    out.push_back(split_pieces(match_regex(Regex(pattern, field.where)), behavior, invert));
  };
  bool byte_chars = false;
  if (type == "Sequence") {
    const JsonField list = field.at("pretokenizers");
    for (size_t i = 0; i < list.array().size(); ++i) byte_chars = parse_pre_tokenizer(list.item(i), out) || byte_chars;
  } else if (type == "ByteLevel") {
    byte_chars = true;
    if (field.at("add_prefix_space").boolean_or(true)) out.push_back(prefix_space());
    if (field.at("use_regex").boolean_or(true)) by_pattern(kGpt2Pattern, SplitBehavior::kIsolated);
    out.push_back(byte_level());
  } else if (type == "Split") {
    out.push_back(split_pieces(parse_pattern(field.at("pattern")), parse_behavior(field.at("behavior")),
                               field.at("invert").boolean_or(false)));
  } else if (type == "Digits") {
    const bool each = field.at("individual_digits").boolean_or(false);
    by_pattern(R"(\p{N})", each ? SplitBehavior::kIsolated : SplitBehavior::kContiguous);
  } else if (type == "Punctuation") {
    out.push_back(split_pieces(match_chars(is_punctuation), parse_behavior(field.at("behavior")), false));
  } else if (type == "Metaspace") {
    const JsonField given = field.at("replacement");
    const std::string replacement = given.present() ? inserted(given) : "\u2581";
    const bool space = field.at("add_prefix_space").boolean_or(true);
    out.push_back(
        metaspace(replacement, parse_scheme(field.at("prepend_scheme"), space), field.at("split").boolean_or(true)));
  } else if (type == "Whitespace") {
    by_pattern(R"([\w\p{Join_Control}]+|[^\w\s\p{Join_Control}]+)", SplitBehavior::kRemoved, true);
  } else if (type == "WhitespaceSplit") {
    out.push_back(split_pieces(match_chars(is_white_space), SplitBehavior::kRemoved, false));
  } else if (type == "CharDelimiterSplit") {
    out.push_back(split_pieces(match_string(field.at("delimiter").string()), SplitBehavior::kRemoved, false));
  } else if (type == "FixedLength") {
    const size_t length = field.at("length").present() ? field.at("length").number(1 << 20) : 5;
    if (length == 0) field.at("length").wrong("a length above 0");
    out.push_back(split_pieces(match_lengths(length), SplitBehavior::kIsolated, false));
  } else if (type == "UnicodeScripts") {
    out.push_back(split_scripts());
  } else if (type == "BertPreTokenizer") {
    add_bert_pre_tokenizer(out);
  } else {
    unknown(field, type,
            "Sequence, ByteLevel, Split, Digits, Punctuation, Metaspace, Whitespace, WhitespaceSplit, "
            "CharDelimiterSplit, FixedLength, UnicodeScripts, BertPreTokenizer");
  }
  return byte_chars;
}

void parse_decoder(const JsonField& field, TokenDecoder& out) {
  if (!field.present()) return;
  require_room(field, out.replace.size());
  const std::string& type = field.at("type").string();
  if (type == "Sequence") {
    const JsonField list = field.at("decoders");
    for (size_t i = 0; i < list.array().size(); ++i) parse_decoder(list.item(i), out);
  } else if (type == "ByteLevel") {
    out.byte_level = true;
  } else if (type == "ByteFallback") {
    out.byte_fallback = true;
  } else if (type == "Metaspace") {
    const bool space = field.at("add_prefix_space").boolean_or(true);
    out.replace.emplace_back(field.at("replacement").string_or("\u2581"), " ");
    out.drop_first_space = parse_scheme(field.at("prepend_scheme"), space) != PrependScheme::kNever;
  } else if (type == "Replace") {
    out.replace.emplace_back(field.at("pattern").at("String").string(), inserted(field.at("content")));
  } else if (type == "Strip") {
    const JsonField content = field.at("content");
    const uint64_t start = field.at("start").number(1);
    if (content.string() != " " || field.at("stop").number(1) != 0) content.wrong("' ' with start 0 or 1 and stop 0");
    out.drop_first_space = start == 1;
  } else if (type == "WordPiece") {
    out.continuation = field.at("prefix").string_or("##");
    if (out.continuation.empty()) field.at("prefix").wrong("a prefix");
    out.clean_up = field.at("cleanup").boolean_or(true);
  } else if (type != "Fuse") {
    unknown(field, type, "Sequence, ByteLevel, ByteFallback, Metaspace, Replace, Strip, Fuse, WordPiece");
  }
}

bool parse_post_processor(const JsonField& field, std::vector<TokenId>& prefix, std::vector<TokenId>& suffix) {
  if (!field.present()) return false;
  const std::string& type = field.at("type").string();
  std::vector<TokenId> before, after;
  bool says = true;
  if (type == "Sequence") {
    const JsonField list = field.at("processors");
    says = false;
    for (size_t i = 0; i < list.array().size(); ++i) {
      says = parse_post_processor(list.item(i), prefix, suffix) || says;
    }
  } else if (type == "TemplateProcessing") {
    const JsonField list = field.at("single");
    bool seen = false;
    for (size_t i = 0; i < list.array().size(); ++i) {
      const JsonField part = list.item(i);
      if (part.at("Sequence").present()) {
        if (seen) part.wrong("one sequence");
        seen = true;
        continue;
      }
      const JsonField ids = field.at("special_tokens").at(part.at("SpecialToken").at("id").string()).at("ids");
      for (size_t k = 0; k < ids.array().size(); ++k) {
        if (prefix.size() + suffix.size() + before.size() + after.size() >= kMaxAddedIds) {
          throw_input("{}: expected at most {} tokens around a text, found more", list.where, kMaxAddedIds);
        }
        (seen ? after : before).push_back(static_cast<TokenId>(ids.item(k).number(kMaxId)));
      }
    }
    if (!seen) list.wrong("a sequence");
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    const auto id = [&](const char* key) {
      const JsonField pair = field.at(key);
      if (pair.array().size() != 2) pair.wrong("token and id");
      return static_cast<TokenId>(pair.item(1).number(kMaxId));
    };
    before = {id("cls")};
    after = {id("sep")};
  } else if (type == "ByteLevel") {
    says = false;  // only offsets
  } else {
    unknown(field, type, "Sequence, TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel");
  }
  prefix.insert(prefix.begin(), before.begin(), before.end());
  suffix.insert(suffix.end(), after.begin(), after.end());
  return says;
}

}  // namespace occ
