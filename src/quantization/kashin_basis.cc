#include "quantization/kashin_basis.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/rng.h"
#include "simd/fwht.h"
#include "simd/panel.h"
#include "simd/product.h"

namespace occ {

Matrix<float> seeded_orthogonal(size_t n, uint64_t seed) {
  Matrix<double> q(n, n);
  for (size_t r = 0; r < n; ++r) {
    double* v = q.row(r);
    for (size_t c = 0; c < n; ++c) {
      const uint64_t at = 8 * (r * n + c);
      int bits = -256;
      for (uint64_t j = 0; j < 8; ++j) bits += std::popcount(random_word(seed, at + j));
      // The fraction makes linear dependence on the other vectors practically impossible.
      v[c] = bits + static_cast<double>(random_word(seed, at) >> 11) * 0x1p-53;
    }
    // Two passes: what the first pass leaves along the other vectors is the rounding error of large numbers. After the
    // second pass it is negligible.
    for (int pass = 0; pass < 2; ++pass) {
      for (size_t k = 0; k < r; ++k) {
        const double* other = q.row(k);
        double dot = 0;
        for (size_t c = 0; c < n; ++c) dot += v[c] * other[c];
        for (size_t c = 0; c < n; ++c) v[c] -= dot * other[c];
      }
      double square = 0;
      for (size_t c = 0; c < n; ++c) square += v[c] * v[c];
      const double length = std::sqrt(square);
      for (size_t c = 0; c < n; ++c) v[c] /= length;
    }
  }
  Matrix<float> out(n, n);
  for (size_t i = 0; i < out.size(); ++i) out.data()[i] = static_cast<float>(q.data()[i]);
  return out;
}

KashinBasis::KashinBasis(const Params& params, size_t cols, ErrorKind kind)
    : kind_(params.choice("basis")), seed_(static_cast<uint64_t>(params.integer("seed"))) {
  const auto block = static_cast<size_t>(params.integer("block"));
  block_ = std::max<size_t>(1, block == 0 ? cols : std::min(block, cols));
  if (cols == 0) return;
  rest_ = cols % block_;
  for (const size_t n : {block_, rest_}) {
    if (n == 0) continue;
    const size_t odd = n / (n & (~n + 1));
    if (kind_ == "dct" && (n > DctPlan<float>::kMaxLength || odd > DctPlan<float>::kMaxOdd)) {
      throw Error(kind, fmt::format("kashin: basis=dct expects up to {} columns with an odd part up to {}, found {}",
                                    DctPlan<float>::kMaxLength, DctPlan<float>::kMaxOdd, n));
    }
    if (kind_ == "orthogonal" && n > kMaxDense) {
      throw Error(kind,
                  fmt::format("kashin: basis=orthogonal expects blocks of up to {} columns, found {}; try block=256",
                              kMaxDense, n));
    }
  }
}

const KashinBasis::Parts& KashinBasis::parts() const {
  return parts_.get([&] { return Parts{make_part(block_), rest_ != 0 ? make_part(rest_) : Part()}; });
}

KashinBasis::Part KashinBasis::make_part(size_t length) const {
  Part part;
  part.length = length;
  if (kind_ == "dct") part.plan.emplace(length);
  if (kind_ == "hadamard") part.run = length & (~length + 1);
  if (kind_ == "orthogonal") {
    part.dense = seeded_orthogonal(length, seed_);
    part.transposed = Matrix<float>(length, length);
    for (size_t r = 0; r < length; ++r) {
      for (size_t c = 0; c < length; ++c) part.transposed(c, r) = part.dense(r, c);
    }
  }
  return part;
}

size_t KashinBasis::work_size() const {
  const auto& [whole, rest] = parts();
  return std::max(whole.plan ? whole.plan->scratch_size() : 0, rest.plan ? rest.plan->scratch_size() : 0);
}

void KashinBasis::apply(float* from, float* out, size_t cols, bool transposed, float* work) const {
  const auto& [whole, rest] = parts();
  for (size_t c = 0; c < cols; c += block_) {
    const Part& part = cols - c >= block_ ? whole : rest;
    apply_part(part, from + kPanelLanes * c, out + kPanelLanes * c, transposed, work);
  }
}

void KashinBasis::apply_part(const Part& part, float* from, float* out, bool transposed, float* work) {
  const size_t n = part.length;
  if (part.plan) {
    transposed ? part.plan->forward(from, out, work) : part.plan->inverse(from, out, work);
  } else if (part.run != 0) {
    std::copy_n(from, kPanelLanes * n, out);
    for (size_t c = 0; c < n; c += part.run) fwht_panel(out + kPanelLanes * c, part.run);
  } else {
    const MatrixView<const float> rows(from, n, kPanelLanes);
    ordered_product(transposed ? part.transposed.view() : part.dense.view(), PackedMatrix<float>(rows),
                    MatrixView<float>(out, n, kPanelLanes));
  }
}

}  // namespace occ
