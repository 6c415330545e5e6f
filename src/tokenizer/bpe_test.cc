// BPE against the definition: look at all pairs, merge the best, start again.
#include "tokenizer/bpe.h"

#include <gtest/gtest.h>

#include <map>

#include "base/rng.h"

namespace occ {
namespace {

struct Sample {
  Vocabulary vocabulary;
  std::vector<std::pair<std::string, std::string>> merges;
};

void add_token(Vocabulary& v, const std::string& text) {
  if (v.find(text)) return;
  v.tokens.push_back(text);
  v.index(static_cast<TokenId>(v.tokens.size() - 1));
}

Sample random_sample(Rng& rng) {
  Sample s;
  for (const char* c : {"a", "b", "c", "\u2581"}) add_token(s.vocabulary, c);
  for (int i = 0; i < 40; ++i) {
    const std::string left = s.vocabulary.tokens[rng.below(s.vocabulary.tokens.size())];
    const std::string right = s.vocabulary.tokens[rng.below(s.vocabulary.tokens.size())];
    if (left.size() + right.size() > 12) continue;
    add_token(s.vocabulary, left + right);
    s.merges.emplace_back(left, right);
  }
  return s;
}

std::string random_word(Rng& rng, size_t length) {
  std::string word;
  const char* chars[] = {"a", "b", "c", "\u2581"};
  for (size_t i = 0; i < length; ++i) word += chars[rng.below(4)];
  return word;
}

std::vector<std::string> characters(const std::string& word) {
  std::vector<std::string> out;
  for (const char c : word) {
    if ((static_cast<uint8_t>(c) & 0xC0) == 0x80) {
      out.back().push_back(c);
    } else {
      out.emplace_back(1, c);
    }
  }
  return out;
}

template <typename Rank>  // rank(left, right): lower first, infinity for no merge
std::vector<TokenId> slow_bpe(const Vocabulary& v, const std::string& word, const Rank& rank) {
  std::vector<std::string> symbols = characters(word);
  for (;;) {
    double best = std::numeric_limits<double>::infinity();
    size_t at = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const double r = rank(symbols[i], symbols[i + 1]);
      if (r < best) {
        best = r;
        at = i;
      }
    }
    if (best == std::numeric_limits<double>::infinity()) break;
    symbols[at] += symbols[at + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  std::vector<TokenId> ids;
  for (const std::string& s : symbols) ids.push_back(*v.find(s));
  return ids;
}

TEST(Bpe, MergesByRank) {
  Rng rng(1);
  for (int round = 0; round < 50; ++round) {
    const Sample s = random_sample(rng);
    Bpe bpe(s.vocabulary, {});
    std::map<std::pair<std::string, std::string>, double> ranks;
    for (size_t i = 0; i < s.merges.size(); ++i) {
      bpe.add_merge(s.merges[i].first, s.merges[i].second, static_cast<uint32_t>(i));
      ranks.emplace(s.merges[i], static_cast<double>(i));
    }
    const auto rank = [&](const std::string& a, const std::string& b) {
      const auto it = ranks.find({a, b});
      return it == ranks.end() ? std::numeric_limits<double>::infinity() : it->second;
    };
    for (size_t length = 1; length < 60; length += 1 + length / 4) {
      const std::string word = random_word(rng, length);
      std::vector<TokenId> ids;
      bpe.encode(word, ids);
      EXPECT_EQ(ids, slow_bpe(s.vocabulary, word, rank)) << word;
    }
  }
}

TEST(Bpe, MergesByScore) {
  Rng rng(2);
  for (int round = 0; round < 50; ++round) {
    const Sample s = random_sample(rng);
    std::vector<float> scores(s.vocabulary.tokens.size());
    for (float& x : scores) x = static_cast<float>(rng.below(8)) - 4;  // many are equal
    Bpe bpe(s.vocabulary, {});
    bpe.add_score_merges(scores);
    const auto rank = [&](const std::string& a, const std::string& b) {
      const auto id = s.vocabulary.find(a + b);
      return id ? -static_cast<double>(scores[static_cast<size_t>(*id)]) : std::numeric_limits<double>::infinity();
    };
    for (size_t length = 1; length < 60; length += 1 + length / 4) {
      const std::string word = random_word(rng, length);
      std::vector<TokenId> ids;
      bpe.encode(word, ids);
      EXPECT_EQ(ids, slow_bpe(s.vocabulary, word, rank)) << word;
    }
  }
}

// Where it says that words may be cut before U+2581, cutting changes nothing.
TEST(Bpe, CutsBeforeMetaspace) {
  Rng rng(3);
  int may_cut = 0, differs = 0;
  for (int round = 0; round < 300; ++round) {
    Sample s;
    for (const char* c : {"a", "b", "c", "\u2581"}) add_token(s.vocabulary, c);
    Bpe bpe(s.vocabulary, {});
    for (uint32_t i = 0; i < 6; ++i) {
      const std::string left = s.vocabulary.tokens[rng.below(s.vocabulary.tokens.size())];
      const std::string right = s.vocabulary.tokens[rng.below(s.vocabulary.tokens.size())];
      add_token(s.vocabulary, left + right);
      bpe.add_merge(left, right, i);
    }
    const bool cuts = bpe.cuts_before_metaspace();
    may_cut += cuts;
    for (int k = 0; k < 20; ++k) {
      const std::string left = random_word(rng, 4) + "a", right = "\u2581" + random_word(rng, 5);
      std::vector<TokenId> whole, parts;
      bpe.encode(left + right, whole);
      bpe.encode(left, parts);
      bpe.encode(right, parts);
      if (cuts) {
        EXPECT_EQ(whole, parts) << left << right;
      }
      differs += whole != parts;
    }
  }
  EXPECT_GT(may_cut, 20);
  EXPECT_GT(differs, 20);
}

TEST(Bpe, CharactersWithoutToken) {
  Vocabulary v;
  for (const char* t : {"<unk>", "a", "<0xC3>", "<0xA9>", "b"}) add_token(v, t);
  const auto ids = [&](const BpeOptions& options, const std::string& word) {
    std::vector<TokenId> out;
    Bpe(v, options).encode(word, out);
    return out;
  };
  using Ids = std::vector<TokenId>;
  EXPECT_EQ(ids({}, "a\u00e9xxb"), (Ids{1, 4}));
  EXPECT_EQ(ids({.unk = 0}, "a\u00e9xxb"), (Ids{1, 0, 0, 0, 4}));
  EXPECT_EQ(ids({.fuse_unk = true, .unk = 0}, "a\u00e9xxb"), (Ids{1, 0, 4}));
  EXPECT_EQ(ids({.byte_fallback = true, .fuse_unk = true, .unk = 0}, "x\u00e9xxb"), (Ids{0, 2, 3, 0, 4}));
}

// Merges through a text that is no token, as GGUF may have them.
TEST(Bpe, StepsThatAreNoTokens) {
  Vocabulary v;
  for (const char* t : {"a", "b", "c", "abc"}) add_token(v, t);
  Bpe bpe(v, {});
  bpe.add_merge("a", "b", 0);
  bpe.add_merge("ab", "c", 1);
  std::vector<TokenId> ids;
  bpe.encode("abcab", ids);
  EXPECT_EQ(ids, (std::vector<TokenId>{3, 0, 1}));
}

TEST(Bpe, LongWords) {
  Vocabulary v;
  std::string token = "a";
  add_token(v, token);
  Bpe bpe(v, {});
  for (uint32_t i = 0; i < 10; ++i) {
    add_token(v, token + token);
    bpe.add_merge(token, token, i);
    token += token;
  }
  std::vector<TokenId> ids;
  bpe.encode(std::string((1 << 20) + 5, 'a'), ids);
  ASSERT_EQ(ids.size(), 1026u);
  EXPECT_EQ(ids[0], 10);
  EXPECT_EQ(ids[1024], 2);
  EXPECT_EQ(ids[1025], 0);
}

}  // namespace
}  // namespace occ
