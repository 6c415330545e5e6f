#include "calibration/own_text.h"

#include <algorithm>

#include "base/parallel.h"

namespace occ {

Sequences write_own_text(const TensorFile& source, const ModelConfig& config, const CalibrationText& text,
                         size_t tokens, uint64_t seed, const std::function<void(size_t, size_t)>& progress) {
  const size_t length = config.max_context == 0 ? kOwnLength : std::min(kOwnLength, config.max_context);
  const size_t count = ceil_div(tokens, length), vocab_size = std::min(config.vocab_size, text.vocab_size);
  Sequences beginnings(count);
  for (size_t i = 0; i < count; ++i) {
    std::vector<TokenId>& s = beginnings[i];
    const bool from_start = text.bos && i % 2 == 0;
    if (from_start || (text.bos && text.adds_bos)) s.push_back(*text.bos);
    if (!from_start && s.size() < length) s.push_back(static_cast<TokenId>((2 * i + 1) * vocab_size / (2 * count)));
  }
  return sample_sequences(source, std::move(beginnings), length, seed, progress);
}

}  // namespace occ
