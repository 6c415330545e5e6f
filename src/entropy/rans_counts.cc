// 16 to 64 lines are counted side by side, so that their state machines do not wait for each other and two increments
// rarely meet in one counter. If lines are rows, pieces of them are transposed first. Cost on one core: 1 ns per symbol
// to count symbols, 2 ns to count lines, and twice 1 ns per sampled symbol to measure scales.
#include "entropy/rans_counts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <mutex>

#include "base/check.h"
#include "base/parallel.h"

namespace occ {
namespace {

constexpr size_t kMaxBlock = 64;  // number of lines

}  // namespace

std::vector<uint64_t> count_symbols(MatrixView<const Symbol> symbols, uint32_t alphabet) {
  constexpr size_t kSymbols = 65536;
  std::vector<uint64_t> total(kSymbols);
  const size_t cols = std::max<size_t>(symbols.cols(), 1);
  const size_t block_rows = ceil_div(size_t{1} << 22, cols);
  std::mutex mutex;
  parallel_for(ceil_div(symbols.rows(), block_rows), [&](size_t block) {
    // There are two sets of counters, because two increments of the same counter must wait for each other.
    std::vector<uint64_t> counts(2 * kSymbols);
    uint64_t* const even = counts.data();
    uint64_t* const odd = even + kSymbols;
    const size_t end = std::min(symbols.rows(), (block + 1) * block_rows);
    for (size_t r = block * block_rows; r < end; ++r) {
      const Symbol* row = symbols.row(r);
      size_t c = 0;
      for (; c + 4 <= symbols.cols(); c += 4) {
        ++even[row[c]];
        ++odd[row[c + 1]];
        ++even[row[c + 2]];
        ++odd[row[c + 3]];
      }
      for (; c < symbols.cols(); ++c) ++even[row[c]];
    }
    const std::lock_guard lock(mutex);
    for (size_t i = 0; i < kSymbols; ++i) total[i] += even[i] + odd[i];
  });
  OCC_CHECK(std::all_of(total.begin() + alphabet, total.end(), [](uint64_t n) { return n == 0; }));
  total.resize(alphabet);
  return total;
}

RansBins RansBins::of(std::span<const uint64_t> histogram, const RansSplit& split) {
  uint32_t first = kRansWindow, last = 0;
  for (uint32_t symbol = 0; symbol < histogram.size(); ++symbol) {
    if (histogram[symbol] == 0) continue;
    const uint32_t id = split.id(symbol >> split.shift);
    if (id == kRansEscape) continue;
    first = std::min(first, id);
    last = std::max(last, id);
  }
  if (first > last) return {0, 1};
  return {first, last - first + 2};
}

RansCounter::RansCounter(const SymbolPlane& plane, MatrixView<const Symbol> symbols, const RansSplit& split,
                         const RansBins& bins)
    : plane_(plane), symbols_(symbols), split_(split), bins_(bins) {
  if (plane.contexts == nullptr) return;
  const FiniteState& m = *plane.contexts;
  contexts_ = m.num_contexts;
  class_mask_ = m.classes - 1;
  const auto entry = [&](uint32_t state) {
    return uint64_t{state} * m.classes | uint64_t{m.context[state]} * bins.count << 32;
  };
  start_ = entry(0);
  next_.resize(m.next.size());
  for (size_t i = 0; i < next_.size(); ++i) next_[i] = entry(m.next[i]);
}

void RansCounter::for_each_block(std::span<const uint8_t> classes, size_t num_classes,
                                 const std::function<void(size_t, size_t, const uint32_t*)>& body) const {
  const size_t lines = plane_.num_lines();
  const size_t length = plane_.lines == LineAxis::kRows ? plane_.cols : plane_.rows;
  const std::vector<uint8_t> zeros(classes.empty() ? length : 0);
  const uint8_t* const of_position = classes.empty() ? zeros.data() : classes.data();
  const size_t line_size = num_classes * cell_size();
  const size_t block_lines = line_size <= 256 ? kMaxBlock : line_size <= 4096 ? 32 : 16;
  parallel_for(ceil_div(lines, block_lines), [&](size_t block) {
    const size_t first = block * block_lines;
    const size_t count = std::min(block_lines, lines - first);
    std::vector<uint32_t> counts(count * line_size);
    if (plane_.contexts != nullptr) {
      count_block<true>(first, count, of_position, num_classes, counts.data());
    } else {
      count_block<false>(first, count, of_position, num_classes, counts.data());
    }
    body(first, count, counts.data());
  });
}

template <bool kMachine>
void RansCounter::count_block(size_t first, size_t lines, const uint8_t* classes, size_t num_classes,
                              uint32_t* counts) const {
  std::array<uint64_t, kMaxBlock> states;
  states.fill(start_);
  if (plane_.lines == LineAxis::kColumns) {
    const size_t tile = tile_rows(plane_);
    for (size_t r = 0; r < plane_.rows; r += tile) {
      states.fill(start_);
      count_part<kMachine>(symbols_.row(r) + first, symbols_.stride(), std::min(tile, plane_.rows - r), lines,
                           classes + r, num_classes, states.data(), counts);
    }
    return;
  }
  constexpr size_t kPiece = 64;
  std::array<Symbol, kPiece * kMaxBlock> piece;
  for (size_t c = 0; c < plane_.cols; c += kPiece) {
    const size_t n = std::min(kPiece, plane_.cols - c);
    for (size_t i = 0; i < lines; ++i) {
      const Symbol* row = symbols_.row(first + i) + c;
      for (size_t j = 0; j < n; ++j) piece[j * kMaxBlock + i] = row[j];
    }
    count_part<kMachine>(piece.data(), kMaxBlock, n, lines, classes + c, num_classes, states.data(), counts);
  }
}

template <bool kMachine>
void RansCounter::count_part(const Symbol* at, size_t stride, size_t positions, size_t lines, const uint8_t* classes,
                             size_t num_classes, uint64_t* states, uint32_t* counts) const {
  constexpr size_t kAhead = 24, kUnrolled = 8;
  const size_t class_stride = cell_size(), line_stride = num_classes * class_stride;
  const unsigned shift = split_.shift;
  const uint32_t first = split_.offset + bins_.first, last = bins_.count - 1, mask = class_mask_;
  const uint64_t* const next = next_.data();
  for (size_t p = 0; p < positions; ++p) {
    const Symbol* const row = at + p * stride;
    if (p + kAhead < positions) __builtin_prefetch(row + kAhead * stride);
    uint32_t* const to = counts + classes[p] * class_stride;
    const auto count_one = [&](size_t i) {
      const uint32_t symbol = row[i];
      const uint32_t bin = std::min((symbol >> shift) - first, last);
      if constexpr (kMachine) {
        const uint64_t state = states[i];
        ++to[i * line_stride + ((state >> 32) + bin)];
        states[i] = next[static_cast<uint32_t>(state) + (symbol & mask)];
      } else {
        ++to[i * line_stride + bin];
      }
    };
    size_t i = 0;
    for (; i + kUnrolled <= lines; i += kUnrolled) {
      for (size_t k = 0; k < kUnrolled; ++k) count_one(i + k);
    }
    for (; i < lines; ++i) count_one(i);
  }
}

namespace {

constexpr size_t kGroup = 64;    // number of columns that are sampled together
constexpr float kFloor = 1e-6F;  // least mean deviation

// Returns the sum over c of min(|x - center|, limit) * weights[c], with eight partial sums.
float weighted_deviations(const Symbol* row, size_t count, float center, float limit, const float* weights) {
  float parts[8] = {};
  size_t c = 0;
  for (; c + 8 <= count; c += 8) {
    for (size_t k = 0; k < 8; ++k) {
      const float d = static_cast<float>(row[c + k]) - center;
      parts[k] += std::min(std::abs(d), limit) * weights[c + k];
    }
  }
  for (; c < count; ++c) {
    const float d = static_cast<float>(row[c]) - center;
    parts[0] += std::min(std::abs(d), limit) * weights[c];
  }
  return ((parts[0] + parts[4]) + (parts[1] + parts[5])) + ((parts[2] + parts[6]) + (parts[3] + parts[7]));
}

void add_deviations(const Symbol* row, size_t count, float center, float limit, float weight, float* sums) {
  for (size_t c = 0; c < count; ++c) {
    const float d = static_cast<float>(row[c]) - center;
    sums[c] += std::min(std::abs(d), limit) * weight;
  }
}

}  // namespace

RansScales measure_scales(MatrixView<const Symbol> symbols, double center, double deviation) {
  const size_t rows = symbols.rows(), cols = symbols.cols();
  const auto middle = static_cast<float>(center);
  const auto most = static_cast<float>(32 * deviation);
  // Lines with nearly no deviations get no larger weight than those with a sixteenth of the usual deviation.
  const auto row_floor = static_cast<float>(deviation / 16);
  constexpr float kColumnFloor = 1.0F / 16;
  // Group g of row r is sampled if (g + r) % every = 0. About a thousand symbols of every row and column are enough.
  const size_t every = std::clamp<size_t>(std::min(rows, cols) / 1024, 1, 8);
  const size_t block_rows = std::max<size_t>(64, ceil_div(rows, 64));
  const size_t blocks = ceil_div(rows, block_rows);

  std::vector<float> row_means(rows), column_means(cols, 1.0F), weights(cols, 1.0F);
  for (int round = 0; round < 2; ++round) {
    std::vector<std::vector<float>> sums(blocks);
    parallel_for(blocks, [&](size_t block) {
      std::vector<float>& own = sums[block];
      own.assign(cols, 0.0F);
      const size_t end = std::min(rows, (block + 1) * block_rows);
      for (size_t r = block * block_rows; r < end; ++r) {
        const Symbol* row = symbols.row(r);
        const size_t start = (every - r % every) % every * kGroup;
        double sum = 0;
        size_t taken = 0;
        for (size_t c = start; c < cols; c += every * kGroup) {
          const size_t n = std::min(kGroup, cols - c);
          sum += weighted_deviations(row + c, n, middle, most, &weights[c]);
          taken += n;
        }
        row_means[r] = static_cast<float>(sum / static_cast<double>(std::max<size_t>(taken, 1)));
        const float weight = 1 / std::max(row_means[r], row_floor);
        for (size_t c = start; c < cols; c += every * kGroup) {
          add_deviations(row + c, std::min(kGroup, cols - c), middle, most, weight, &own[c]);
        }
      }
    });
    for (size_t c = 0; c < cols; ++c) {
      float sum = 0;
      for (const std::vector<float>& own : sums) sum += own[c];
      const size_t first = (every - c / kGroup % every) % every;
      const size_t taken = first < rows ? ceil_div(rows - first, every) : 1;
      column_means[c] = sum / static_cast<float>(taken);
      weights[c] = 1 / std::max(column_means[c], kColumnFloor);
    }
  }
  const auto log_scale = [](float mean) { return std::log2(std::max(mean, kFloor)); };
  RansScales scales;
  for (const float m : row_means) scales.rows.push_back(log_scale(m));
  for (const float m : column_means) scales.columns.push_back(log_scale(m));
  return scales;
}

}  // namespace occ
