// Products of integers with many inputs, as of a prompt (gemm_vnni.h). A strip becomes a tile once for all of them.
// Escapes go into the tile: its bytes have room for more than the codes take, below them too, as all are shifted up. The
// few that do not fit are added in f32, like activations far beyond the others of their block.
#include <algorithm>
#include <cstring>

#include "base/parallel.h"
#include "operators/gemm_vnni.h"
#include "operators/integer_weight.h"

namespace occ {
namespace {

constexpr size_t kMostInputs = 516;  // at once, whose sums stay in the second-level cache

struct Inputs {
  size_t count = 0, groups = 0;
  Matrix<int8_t> q;                                 // [groups, padded columns * 12]
  Matrix<float> scales;                             // [groups, blocks of 256 columns * 12]
  Matrix<float> sums;                               // [count, strips + 1] of scale * q, and of all x
  std::vector<std::vector<StripOutlier>> outliers;  // exact, not in q
  MatrixView<const float> x;
};

void quantize_group(const IntegerWeight& weight, size_t group, Inputs* in, std::vector<Outlier>* outliers) {
  const PackedIntegers& integers = *weight.integers;
  const std::vector<float>& columns = weight.factors.columns;
  const size_t blocks = ceil_div(in->x.cols(), kBlockColumns), quads = integers.padded_columns() / 4;
  Matrix<int8_t> q = Matrix<int8_t>::uninitialized(1, blocks * kBlockColumns);
  std::vector<float> scales(blocks);
  std::vector<int32_t> segments(blocks * kBlockColumns / kSegmentColumns);
  for (size_t i = 0; i < kGroupInputs; ++i) {
    const size_t b = group * kGroupInputs + i;
    int8_t* to = in->q.row(group) + 4 * i;
    if (b >= in->count) {
      for (size_t quad = 0; quad < quads; ++quad) std::memset(to + quad * kGroupInputs * 4, 0, 4);
      continue;
    }
    quantize_activations(in->x.row(b), columns.empty() ? nullptr : columns.data(), in->x.cols(), q.data(),
                         scales.data(), segments.data(), &outliers[b]);
    for (size_t quad = 0; quad < quads; ++quad) std::memcpy(to + quad * kGroupInputs * 4, q.data() + 4 * quad, 4);
    for (size_t block = 0; block < blocks; ++block) in->scales.row(group)[block * kGroupInputs + i] = scales[block];
    float all = 0;
    for (size_t s = 0; s < integers.strips(); ++s) {
      float sum = 0;
      const size_t first = integers.first_column(s), end = first + integers.width(s);
      for (size_t c = first; c < end; c += kSegmentColumns) {
        sum += scales[c / kBlockColumns] * static_cast<float>(segments[c / kSegmentColumns]);
      }
      in->sums(b, s) = sum;
      all += sum;
    }
    for (const Outlier& o : outliers[b]) all += o.value;
    in->sums(b, integers.strips()) = all;
  }
}

Inputs quantize(const IntegerWeight& weight, MatrixView<const float> x) {
  const PackedIntegers& integers = *weight.integers;
  Inputs in;
  in.count = x.rows();
  in.groups = ceil_div(x.rows(), kGroupInputs);
  in.x = x;
  in.q = Matrix<int8_t>::uninitialized(in.groups, integers.padded_columns() * kGroupInputs);
  in.scales = Matrix<float>(in.groups, (ceil_div(x.cols(), kBlockColumns) + 1) * kGroupInputs);
  in.sums = Matrix<float>(in.count, integers.strips() + 1);
  std::vector<std::vector<Outlier>> outliers(in.count);
  parallel_for(in.groups, [&](size_t group) { quantize_group(weight, group, &in, outliers.data()); });
  in.outliers = outliers_by_strip(integers, outliers);
  return in;
}

// Adds escapes to the bytes of a strip, where byte + shift holds them; returns the others.
std::vector<PackedIntegers::Escape> patch(std::span<const uint32_t> escapes, int shift, uint8_t* k) {
  std::vector<PackedIntegers::Escape> left;
  for (const uint32_t e : escapes) {
    const auto escape = PackedIntegers::unpack_escape(e);
    uint8_t& byte = k[escape.row * kStripColumns + escape.col];
    const int value = static_cast<uint8_t>(byte + shift) + escape.delta;
    if (value < 0 || value > 255) {
      left.push_back(escape);
    } else {
      byte = static_cast<uint8_t>(value - shift);
    }
  }
  return left;
}

void apply_panel(const IntegerWeight& weight, size_t panel, const Inputs& in, MatrixView<float> out) {
  const PackedIntegers& integers = *weight.integers;
  const std::vector<float>& columns = weight.factors.columns;
  // Kept by the thread.
  alignas(64) thread_local uint8_t k[kPanelRows * kStripColumns], tile[kPanelRows * kStripColumns];
  thread_local Matrix<float> sums;
  if (sums.rows() < in.groups * kGroupInputs) sums = Matrix<float>(in.groups * kGroupInputs, kPanelRows);
  const MatrixView<float> y = sums.view().row_range(0, in.count);
  std::fill_n(sums.data(), in.groups * kGroupInputs * kPanelRows, 0.0f);
  for (size_t s = 0; s < integers.strips(); ++s) {
    const Strip strip = integers.strip(panel, s);
    const size_t col = integers.first_column(s);
    unpack_strip(strip, k);
    const auto escapes = integers.escapes(panel, s);
    const int shift = escapes.empty() ? 0 : static_cast<int>(255 - strip.most()) / 2;
    const auto left = patch(escapes, shift, k);
    make_tile_vnni(k, strip.width(), static_cast<uint8_t>(shift), tile);
    TileDots dots;
    dots.tile = tile;
    dots.width = strip.width();
    dots.count = in.count;
    dots.x = in.q.data() + col * kGroupInputs;
    dots.x_stride = in.q.cols();
    dots.scales = in.scales.data() + col / kBlockColumns * kGroupInputs;
    dots.scale_stride = in.scales.cols();
    dots.y = y.data();
    tile_dots_vnni(dots);
    const auto base = static_cast<float>(integers.base(panel, s) - shift);
    add_outliers(
        in.outliers[s],
        [&](size_t c, float* column) {
          for (size_t r = 0; r < kPanelRows; ++r) {
            column[r] = static_cast<float>(static_cast<uint8_t>(k[r * kStripColumns + c] + shift)) + base;
          }
        },
        y);
    for (size_t b = 0; b < in.count; ++b) {
      const float more = base * in.sums(b, s);
      float* __restrict to = y.row(b);
      for (size_t r = 0; r < kPanelRows; ++r) to[r] += more;
      for (const auto& escape : left) {
        const size_t c = col + escape.col;
        to[escape.row] += static_cast<float>(escape.delta) * in.x(b, c) * (columns.empty() ? 1 : columns[c]);
      }
    }
  }
  for (size_t b = 0; b < in.count; ++b) put_rows(weight, panel, y.row(b), in.sums(b, integers.strips()), out.row(b));
}

}  // namespace

void multiply_tiles(const IntegerWeight& w, MatrixView<const float> x, MatrixView<float> y) {
  for (size_t b = 0; b < x.rows(); b += kMostInputs) {
    const size_t count = std::min(kMostInputs, x.rows() - b);
    const Inputs in = quantize(w, x.row_range(b, count));
    const MatrixView<float> out = y.row_range(b, count);
    parallel_for(w.integers->panels(), [&](size_t panel) { apply_panel(w, panel, in, out); });
  }
}

}  // namespace occ
