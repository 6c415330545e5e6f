// Products of integers with few inputs: strips are unpacked in registers (strip.h). Activations far beyond the others of
// their block become more int8 inputs of their strip.
#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "operators/integer_weight.h"

namespace occ {
namespace {

constexpr size_t kMostInputs = 256;   // at once
constexpr size_t kInputsOfStrip = 8;  // whose sums stay in the caches

struct InputLevel {
  uint32_t input;
  OutlierLevel level;
};

// A batch of inputs in int8.
struct Inputs {
  size_t count = 0;
  Matrix<int8_t> q;                             // [count, blocks of 256 columns]
  Matrix<float> scales;                         // [count, blocks + 1]: readable beyond the last
  Matrix<float> values;                         // [count, cols] in f32, 0 where q's scale is
  Matrix<float> sums;                           // [count, strips + 1] of scale * q, and of all strips
  std::vector<std::vector<InputLevel>> levels;  // [strips] of outliers
};

// Levels of outliers, sums by strip and the values that escapes are multiplied with.
// segments: sums of q without outliers, by 32 columns.
void add_strips(const IntegerWeight& weight, const float* x, const std::vector<int32_t>& segments,
                const std::vector<Outlier>& outliers, size_t b, Inputs* in,
                std::vector<std::pair<size_t, OutlierLevel>>* levels) {
  const PackedIntegers& integers = *weight.integers;
  const std::vector<float>& columns = weight.factors.columns;
  std::vector<OutlierLevel> own;
  auto at = outliers.begin();
  float all = 0;
  for (size_t s = 0; s < integers.strips(); ++s) {
    const size_t first = integers.first_column(s), width = integers.width(s);
    const float* scales = in->scales.row(b) + first / kBlockColumns;
    int8_t* q = in->q.row(b) + first;
    const auto end = std::find_if(at, outliers.end(), [&](const Outlier& o) { return o.col >= first + width; });
    own.clear();
    if (at != end) split_outliers(std::span(at, end), first, q, scales, &own);
    float sum = 0;
    for (size_t c = 0; c < width; c += kSegmentColumns) {
      sum += scales[c / kBlockColumns] * static_cast<float>(segments[(first + c) / kSegmentColumns]);
    }
    for (; at != end; ++at) {
      const size_t c = at->col - first, block = c / kBlockColumns;
      sum += scales[block] * static_cast<float>(q[c]);
      for (const OutlierLevel& level : own) sum += level.scales[block] * static_cast<float>(level.q[c]);
    }
    in->sums(b, s) = sum;
    all += sum;
    for (const OutlierLevel& level : own) levels->emplace_back(s, level);
  }
  in->sums(b, integers.strips()) = all;
  const size_t cols = integers.shape().cols;
  for (size_t c = 0; c < cols; c += kBlockColumns) {
    const size_t count = std::min(kBlockColumns, cols - c);
    float* __restrict values = in->values.row(b) + c;
    for (size_t i = 0; i < count; ++i) values[i] = columns.empty() ? x[c + i] : x[c + i] * columns[c + i];
    if (in->scales(b, c / kBlockColumns) != 0) continue;
    for (size_t i = 0; i < count; ++i) {  // what is set aside is larger
      if (std::fabs(values[i]) <= kLeastActivation) values[i] = 0;
    }
  }
}

Inputs quantize(const IntegerWeight& weight, MatrixView<const float> x) {
  const PackedIntegers& integers = *weight.integers;
  const std::vector<float>& columns = weight.factors.columns;
  Inputs in;
  in.count = x.rows();
  const size_t blocks = ceil_div(x.cols(), kBlockColumns);
  in.q = Matrix<int8_t>::uninitialized(in.count, blocks * kBlockColumns);
  in.scales = Matrix<float>(in.count, blocks + 1);
  in.values = Matrix<float>::uninitialized(in.count, x.cols());
  in.sums = Matrix<float>(in.count, integers.strips() + 1);
  std::vector<std::vector<std::pair<size_t, OutlierLevel>>> levels(in.count);  // and their strips
  const auto one = [&](size_t b) {
    std::vector<Outlier> outliers;
    std::vector<int32_t> sums(blocks * kBlockColumns / kSegmentColumns);
    quantize_activations(x.row(b), columns.empty() ? nullptr : columns.data(), x.cols(), in.q.row(b), in.scales.row(b),
                         sums.data(), &outliers);
    std::sort(outliers.begin(), outliers.end(), [](const Outlier& i, const Outlier& j) { return i.col < j.col; });
    add_strips(weight, x.row(b), sums, outliers, b, &in, &levels[b]);
  };
  parallel_for(in.count, one);
  in.levels.resize(integers.strips());
  for (size_t b = 0; b < in.count; ++b) {
    for (const auto& [strip, level] : levels[b]) in.levels[strip].push_back({static_cast<uint32_t>(b), level});
  }
  return in;
}

// Inputs `first` to first + count - 1.
void apply_panel(const IntegerWeight& weight, size_t panel, const Inputs& in, size_t first, size_t count,
                 MatrixView<float> out) {
  const PackedIntegers& integers = *weight.integers;
  alignas(64) thread_local float lanes[kInputsOfStrip * kPanelRows * kSumLanes];
  thread_local std::vector<StripInput> inputs;
  float y[kInputsOfStrip][kPanelRows] = {};  // of escapes
  float shifts[kInputsOfStrip] = {};         // of all rows
  std::fill_n(lanes, count * kPanelRows * kSumLanes, 0.0f);
  for (size_t s = 0; s < integers.strips(); ++s) {
    const size_t col = integers.first_column(s);
    const auto sums_of = [&](size_t i) { return lanes + i * kPanelRows * kSumLanes; };
    inputs.clear();
    for (size_t i = 0; i < count; ++i) {
      const float* scales = in.scales.row(first + i) + col / kBlockColumns;
      inputs.push_back({in.q.row(first + i) + col, {scales[0], scales[1]}, sums_of(i)});
    }
    for (const auto& [input, level] : in.levels[s]) {
      if (input < first || input >= first + count) continue;
      inputs.push_back({level.q, {level.scales[0], level.scales[1]}, sums_of(input - first)});
    }
    strip_dots(integers.strip(panel, s), inputs);
    const auto base = static_cast<float>(integers.base(panel, s));
    const std::span<const uint32_t> escapes = integers.escapes(panel, s);
    for (size_t i = 0; i < count; ++i) {
      shifts[i] += base * in.sums(first + i, s);
      const float* x = in.values.row(first + i) + col;
      for (const uint32_t e : escapes) {
        const auto escape = PackedIntegers::unpack_escape(e);
        y[i][escape.row] += static_cast<float>(escape.delta) * x[escape.col];
      }
    }
  }
  for (size_t i = 0; i < count; ++i) {
    float dots[kPanelRows];
    sum_lanes(lanes + i * kPanelRows * kSumLanes, dots);
    for (size_t r = 0; r < kPanelRows; ++r) dots[r] += y[i][r] + shifts[i];
    put_rows(weight, panel, dots, in.sums(first + i, integers.strips()), out.row(first + i));
  }
}
}  // namespace

void multiply_strips(std::span<const WeightProduct> products, MatrixView<const float> x) {
  // Panels of all weights, one after the other.
  std::vector<size_t> first = {0};
  for (const WeightProduct& p : products) first.push_back(first.back() + p.weight->integers->panels());
  for (size_t b = 0; b < x.rows(); b += kMostInputs) {
    const size_t count = std::min(kMostInputs, x.rows() - b);
    std::vector<Inputs> inputs;
    for (const WeightProduct& p : products) inputs.push_back(quantize(*p.weight, x.row_range(b, count)));
    parallel_for(first.back(), [&](size_t panel) {
      const auto which = static_cast<size_t>(std::upper_bound(first.begin(), first.end(), panel) - first.begin()) - 1;
      const WeightProduct& p = products[which];
      for (size_t i = 0; i < count; i += kInputsOfStrip) {
        apply_panel(*p.weight, panel - first[which], inputs[which], i, std::min(kInputsOfStrip, count - i),
                    p.y.row_range(b, count));
      }
    });
  }
}

}  // namespace occ
