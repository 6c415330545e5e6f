#include "tensor/bf16_scales.h"

#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "tensor/dtype.h"

namespace occ {

int scale_code_near(double value) {
  if (!(value > 0)) return 0;
  if (value > FLT_MAX) return kMaxScaleCode;
  return std::min<int>(f32_to_bf16(static_cast<float>(value)), kMaxScaleCode);
}

double mean_square(const float* x, size_t n) {
  double sums[8] = {};
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (size_t k = 0; k < 8; ++k) sums[k] += double{x[i + k]} * double{x[i + k]};
  }
  for (size_t k = 0; i < n; ++i, ++k) sums[k] += double{x[i]} * double{x[i]};
  double total = 0;
  for (const double s : sums) total += s;
  return total / static_cast<double>(n);
}

std::vector<float> rms_scales(MatrixView<const float> x, int limit) {
  std::vector<float> scales(x.rows());
  if (x.cols() == 0) return scales;
  constexpr size_t kPanel = 64;
  parallel_for(ceil_div(x.rows(), kPanel), [&](size_t p) {
    for (size_t r = p * kPanel; r < std::min(x.rows(), (p + 1) * kPanel); ++r) {
      const double rms = std::sqrt(mean_square(x.row(r), x.cols()));
      if (rms > 0) scales[r] = scale_of(std::clamp(scale_code_near(rms), 1, limit));
    }
  });
  return scales;
}

void put_scales(const std::vector<float>& scales, ByteWriter& out) {
  std::vector<uint16_t> codes(scales.size());
  for (size_t i = 0; i < scales.size(); ++i) codes[i] = f32_to_bf16(scales[i]);
  out.put_array(codes.data(), codes.size());
}

std::vector<float> get_scales(size_t count, ByteReader& side, int limit) {
  if (count > side.remaining() / sizeof(uint16_t)) {
    throw_input("{}: expected {} scales, found {} bytes", side.what(), count, side.remaining());
  }
  std::vector<uint16_t> codes(count);
  side.get_array(codes.data(), count);
  std::vector<float> scales(count);
  for (size_t i = 0; i < count; ++i) {
    if (codes[i] > kMaxScaleCode) {
      throw_input("{}: expected scale {} to be a finite number >= 0, found bf16 pattern {:#06x}", side.what(), i,
                  codes[i]);
    }
    if (codes[i] > limit) throw_scale_too_large(side, i);
    scales[i] = bf16_to_f32(codes[i]);
  }
  return scales;
}

void throw_scale_too_large(const ByteReader& side, size_t index) {
  throw_input("{}: scale {} is so large that decoded values would not be finite", side.what(), index);
}

}  // namespace occ
