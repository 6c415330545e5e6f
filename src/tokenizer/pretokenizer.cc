#include "tokenizer/pretokenizer.h"

#include <algorithm>
#include <array>
#include <memory>

#include "tokenizer/unicode.h"
#include "tokenizer/unicode_scripts.h"

namespace occ {
namespace {

struct Cut {
  size_t begin, end;
  bool match;
};

// Matches and what lies between them cover the piece.
std::vector<Cut> cuts_of(std::string_view piece, const Matcher& matcher, bool invert) {
  std::vector<Cut> cuts;
  size_t done = 0;
  for (const auto& [begin, end] : matcher(piece)) {
    if (done < begin) cuts.push_back({done, begin, invert});
    cuts.push_back({begin, end, !invert});
    done = end;
  }
  if (done < piece.size()) cuts.push_back({done, piece.size(), invert});
  return cuts;
}

// Joins the cuts that `behavior` does not part.
std::vector<Cut> join(const std::vector<Cut>& cuts, SplitBehavior behavior) {
  std::vector<Cut> out;
  bool previous = false;
  switch (behavior) {
    case SplitBehavior::kIsolated:
      return cuts;
    case SplitBehavior::kRemoved:
      std::copy_if(cuts.begin(), cuts.end(), std::back_inserter(out), [](const Cut& c) { return !c.match; });
      return out;
    case SplitBehavior::kContiguous:
      for (const Cut& c : cuts) {
        if (!out.empty() && out.back().match == c.match) {
          out.back().end = c.end;
        } else {
          out.push_back(c);
        }
      }
      return out;
    case SplitBehavior::kMergedWithPrevious:
      for (const Cut& c : cuts) {
        if (c.match && !previous && !out.empty()) {
          out.back().end = c.end;
        } else {
          out.push_back(c);
        }
        previous = c.match;
      }
      return out;
    case SplitBehavior::kMergedWithNext:
      for (auto c = cuts.rbegin(); c != cuts.rend(); ++c) {
        if (c->match && !previous && !out.empty()) {
          out.back().begin = c->begin;
        } else {
          out.push_back(*c);
        }
        previous = c->match;
      }
      std::reverse(out.begin(), out.end());
      return out;
  }
  return out;
}

// Every piece becomes `change` of it; the pieces stay apart.
template <typename F>
void rewrite(Pieces& pieces, const F& change) {
  Pieces out;
  out.at_start = pieces.at_start;
  out.text.reserve(pieces.text.size() + pieces.text.size() / 4);
  out.ranges.reserve(pieces.ranges.size());
  for (size_t i = 0; i < pieces.ranges.size(); ++i) {
    const size_t begin = out.text.size();
    change(pieces.piece(pieces.ranges[i]), pieces.at_start && pieces.ranges[i].begin == 0, out.text);
    out.ranges.push_back({begin, out.text.size()});
  }
  if (!pieces.ranges.empty() && pieces.ranges[0].begin > 0) out.at_start = false;
  pieces = std::move(out);
}

struct ByteChars {
  std::array<uint32_t, 256> chars{};
  std::array<std::string, 256> utf8;
  std::array<int, 512> bytes{};
  ByteChars() {
    bytes.fill(-1);
    uint32_t others = 0;
    for (uint32_t b = 0; b < 256; ++b) {
      const bool itself = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
      chars[b] = itself ? b : 256 + others++;
      bytes[chars[b]] = static_cast<int>(b);
      append_utf8(chars[b], utf8[b]);
    }
  }
};

const ByteChars& byte_chars() {
  static const ByteChars kTable;
  return kTable;
}

}  // namespace

Matcher match_string(std::string text) {
  return [text = std::move(text)](std::string_view piece) {
    std::vector<std::pair<size_t, size_t>> out;
    if (text.empty()) return out;
    for (size_t at = piece.find(text); at != std::string_view::npos; at = piece.find(text, at + text.size())) {
      out.emplace_back(at, at + text.size());
    }
    return out;
  };
}

Matcher match_regex(Regex regex) {
  return [regex = std::make_shared<Regex>(std::move(regex))](std::string_view piece) { return regex->matches(piece); };
}

Matcher match_lengths(size_t length) {
  return [length](std::string_view text) {
    std::vector<std::pair<size_t, size_t>> matches;
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      for (size_t i = 0; i < length && at < text.size(); ++i) at += utf8_length(text[at]);
      matches.emplace_back(begin, at);
    }
    return matches;
  };
}

Matcher match_chars(bool (*is)(uint32_t c)) {
  return [is](std::string_view piece) {
    std::vector<std::pair<size_t, size_t>> out;
    for (size_t at = 0; at < piece.size();) {
      const size_t begin = at;
      if (is(next_char(piece, at))) out.emplace_back(begin, at);
    }
    return out;
  };
}

PreTokenizer split_pieces(Matcher matcher, SplitBehavior behavior, bool invert) {
  return [matcher = std::move(matcher), behavior, invert](Pieces& pieces) {
    std::vector<Pieces::Range> out;
    out.reserve(pieces.ranges.size());
    for (const auto& range : pieces.ranges) {
      for (const Cut& c : join(cuts_of(pieces.piece(range), matcher, invert), behavior)) {
        if (c.begin < c.end) out.push_back({range.begin + c.begin, range.begin + c.end});
      }
    }
    pieces.ranges = std::move(out);
  };
}

void add_bert_pre_tokenizer(std::vector<PreTokenizer>& out) {
  out.push_back(split_pieces(match_chars(is_white_space), SplitBehavior::kRemoved, false));
  out.push_back(split_pieces(match_chars(is_punctuation), SplitBehavior::kIsolated, false));
}

PreTokenizer split_scripts() {
  return [](Pieces& pieces) {
    const std::span<const ScriptRange> table = unicode_scripts();
    std::vector<Pieces::Range> out;
    for (const auto& range : pieces.ranges) {
      const std::string_view piece = pieces.piece(range);
      uint8_t last = 0;
      for (size_t at = 0; at < piece.size();) {
        const size_t begin = range.begin + at;
        const uint32_t c = next_char(piece, at);
        const auto found = std::partition_point(table.begin(), table.end(), [&](const auto& r) { return r.last < c; });
        const bool known = found != table.end() && found->first <= c;
        if (known && found->script != last) {
          last = found->script;
          out.push_back({begin, begin});
        }
        if (last != 0) out.back().end = range.begin + at;
      }
    }
    pieces.ranges = std::move(out);
  };
}

PreTokenizer cut_before_metaspace() {
  return [](Pieces& pieces) {
    constexpr std::string_view kMeta = "\u2581";
    std::vector<Pieces::Range> out;
    for (const auto& range : pieces.ranges) {
      const std::string_view piece = pieces.piece(range);
      size_t begin = 0;
      for (size_t at = piece.find(kMeta); at != std::string_view::npos; at = piece.find(kMeta, at)) {
        if (at > begin) {
          out.push_back({range.begin + begin, range.begin + at});
          begin = at;
        }
        while (piece.substr(at).starts_with(kMeta)) at += kMeta.size();
      }
      if (begin < piece.size()) out.push_back({range.begin + begin, range.end});
    }
    pieces.ranges = std::move(out);
  };
}

PreTokenizer metaspace(const std::string& replacement, PrependScheme scheme, bool split) {
  return [=, cut = split_pieces(match_string(replacement), SplitBehavior::kMergedWithNext, false)](Pieces& pieces) {
    rewrite(pieces, [&](std::string_view piece, bool first, std::string& out) {
      const std::string replaced = replace_all(piece, " ", replacement);
      const bool wanted = scheme == PrependScheme::kAlways || (scheme == PrependScheme::kFirst && first);
      if (wanted && !replaced.starts_with(replacement)) out += replacement;
      out += replaced;
    });
    if (split) cut(pieces);
  };
}

std::string bytes_to_chars(std::string_view bytes) {
  std::string out;
  for (const char b : bytes) out += byte_chars().utf8[static_cast<uint8_t>(b)];
  return out;
}

bool chars_to_bytes(std::string_view chars, std::string& bytes) {
  bytes.clear();
  for (size_t at = 0; at < chars.size();) {
    const uint32_t c = next_char(chars, at);
    const int b = c < byte_chars().bytes.size() ? byte_chars().bytes[c] : -1;
    if (b < 0) return false;
    bytes.push_back(static_cast<char>(b));
  }
  return true;
}

PreTokenizer prefix_space() {
  return [](Pieces& pieces) {
    rewrite(pieces, [](std::string_view piece, bool, std::string& out) {
      if (!piece.starts_with(' ')) out.push_back(' ');
      out += piece;
    });
  };
}

PreTokenizer byte_level() {
  return [](Pieces& pieces) {
    rewrite(pieces, [](std::string_view piece, bool, std::string& out) {
      for (const char b : piece) out += byte_chars().utf8[static_cast<uint8_t>(b)];
    });
  };
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size());
  size_t done = 0;
  for (size_t at = from.empty() ? std::string_view::npos : text.find(from); at != std::string_view::npos;
       at = text.find(from, done)) {
    out.append(text, done, at - done);
    out += to;
    done = at + from.size();
  }
  out.append(text, done);
  return out;
}

}  // namespace occ
