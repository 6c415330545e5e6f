#include "calibration/own_text.h"

#include <algorithm>

#include "base/parallel.h"

namespace occ {
namespace {

constexpr size_t kAtOnce = 32;  // sequences that are written together

}  // namespace

Sequences write_own_text(const TensorFile& source, const ModelConfig& config, const CalibrationText& text,
                         size_t tokens, uint64_t seed, const std::function<void(size_t, size_t)>& progress) {
  const size_t length = config.max_context == 0 ? kOwnLength : std::min(kOwnLength, config.max_context);
  const size_t count = ceil_div(tokens, length), vocab_size = std::min(config.vocab_size, text.vocab_size);
  Sequences out;
  while (out.size() < count) {
    if (progress) progress(out.size(), count);
    Sequences beginnings;
    for (size_t i = out.size(); i < std::min(count, out.size() + kAtOnce); ++i) {
      std::vector<TokenId>& s = beginnings.emplace_back();
      const bool from_start = text.bos && i % 2 == 0;
      if (from_start || (text.bos && text.adds_bos)) s.push_back(*text.bos);
      if (!from_start && s.size() < length) s.push_back(static_cast<TokenId>((2 * i + 1) * vocab_size / (2 * count)));
    }
    for (auto& s : sample_sequences(source, std::move(beginnings), length, seed + out.size())) {
      out.push_back(std::move(s));
    }
  }
  if (progress) progress(count, count);
  return out;
}

}  // namespace occ
