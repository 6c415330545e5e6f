// Divides calibration sequences: into a part that is trained on and a held-out part, into batches for optimizer steps,
// and into panels for forward and backward passes.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "calibration/reference.h"

namespace occ {

struct SplitSequences {
  Sequences used, held_out;  // sequences without tokens are left out
};

// Holds out every `one_of`-th sequence, and at least one if there are two or more.
inline SplitSequences split_sequences(std::span<const std::vector<TokenId>> sequences, size_t one_of) {
  SplitSequences out;
  for (const std::vector<TokenId>& s : sequences) {
    if (s.empty()) continue;
    const bool held = (out.used.size() + out.held_out.size() + 1) % std::max<size_t>(2, one_of) == 0;
    (held ? out.held_out : out.used).push_back(s);
  }
  if (out.held_out.empty() && out.used.size() > 1) {
    out.held_out.push_back(std::move(out.used.back()));
    out.used.pop_back();
  }
  return out;
}

// Sequences [begin, end) with `tokens` tokens in total; `row` is the number of tokens in the sequences before them.
struct Batch {
  size_t begin = 0, end = 0, row = 0, tokens = 0;
};

// Each batch takes whole sequences until it has at least batch_tokens tokens.
inline std::vector<Batch> batches_of(const Sequences& sequences, size_t batch_tokens) {
  std::vector<Batch> batches;
  size_t row = 0;
  for (size_t i = 0; i < sequences.size(); ++i) {
    if (batches.empty() || batches.back().tokens >= batch_tokens) batches.push_back({i, i, row, 0});
    batches.back().end = i + 1;
    batches.back().tokens += sequences[i].size();
    row += sequences[i].size();
  }
  return batches;
}

// A panel has as many whole sequences as fit into this many tokens, but at least one sequence.
constexpr size_t kPanelTokens = 1024;

// `row` is the first token of the panel among all tokens; the rows in `sequences` count from the beginning of the
// panel.
struct Panel {
  size_t row = 0, tokens = 0;
  std::vector<SequenceRows> sequences;
};

inline std::vector<Panel> panels_of(std::span<const std::vector<TokenId>> sequences) {
  std::vector<Panel> panels;
  size_t row = 0;
  for (const std::vector<TokenId>& s : sequences) {
    if (s.empty()) continue;
    if (panels.empty() || panels.back().tokens + s.size() > kPanelTokens) panels.push_back({row, 0, {}});
    Panel& panel = panels.back();
    panel.sequences.push_back({panel.tokens, s.size()});
    panel.tokens += s.size();
    row += s.size();
  }
  return panels;
}

}  // namespace occ
