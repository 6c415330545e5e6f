// Error feedback by its definition, in double and in order, and a toy quantizer whose granule is eight columns. Shared
// by the tests of quantizers and of the blocked feedback.
#pragma once

#include <algorithm>
#include <cmath>

#include "quantization/quantizer_for_test.h"

namespace occ {

using Square = Matrix<double>;

inline Square cholesky(const Square& h) {  // returns the lower triangular c with h = c c^T
  Square c(h.rows(), h.cols());
  for (size_t j = 0; j < h.rows(); ++j) {
    for (size_t i = j; i < h.rows(); ++i) {
      double s = h(i, j);
      for (size_t k = 0; k < j; ++k) s -= c(i, k) * c(j, k);
      c(i, j) = i == j ? std::sqrt(s) : s / c(j, j);
    }
  }
  return c;
}

// Returns tr((x - y) h (x - y)^T).
inline double weighted_error(const Matrix<float>& x, const Matrix<float>& y, const Square& h) {
  double total = 0;
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t i = 0; i < h.rows(); ++i) {
      for (size_t j = 0; j < h.rows(); ++j) {
        total += double(x(r, i) - y(r, i)) * h(i, j) * double(x(r, j) - y(r, j));
      }
    }
  }
  return total;
}

// With h = c c^T and errors e = w - w', the error of block b is (e_b + sum_{k after b} e_k l_kb) c_bb, where l_kb =
// c_kb c_bb^-1. So w_b + sum e_k l_kb is coded.
inline Coded code_with_feedback(const Quantizer& quantizer, const Matrix<float>& w, const Square& h) {
  const size_t n = w.cols(), unit = std::max<size_t>(1, quantizer.granule().cols);
  const Square c = cholesky(h);
  Coded coded;
  coded.values = w.clone();
  for (const auto& plane : quantizer.planes()) coded.symbols.emplace_back(plane.rows, plane.cols);
  const auto planes = coded.planes();
  for (size_t end = n; end > 0;) {
    const size_t begin = (end - 1) / unit * unit, size = end - begin;
    for (size_t k = end; k < n; ++k) {
      std::vector<double> l(size);  // solution of l c_bb = c_kb
      for (size_t j = size; j-- > 0;) {
        double s = c(k, begin + j);
        for (size_t i = j + 1; i < size; ++i) s -= l[i] * c(begin + i, begin + j);
        l[j] = s / c(begin + j, begin + j);
      }
      for (size_t r = 0; r < w.rows(); ++r) {
        const double error = double(w(r, k)) - double(coded.values(r, k));
        for (size_t j = 0; j < size; ++j) coded.values(r, begin + j) += static_cast<float>(error * l[j]);
      }
    }
    const Rect at{0, begin, w.rows(), size};
    std::vector<MatrixView<Symbol>> views;
    for (size_t p = 0; p < planes.size(); ++p) views.push_back(planes[p].sub(quantizer.plane_rect(p, at)));
    quantizer.quantize(at, coded.values.view().sub(at), views);
    end = begin;
  }
  return coded;
}

// Returns second moments of inputs that have correlated neighbours and random variances.
inline Square random_hessian(size_t n, uint64_t seed) {
  Rng rng(seed);
  std::vector<double> power(n);
  for (double& p : power) p = std::exp(0.5 * rng.normal());
  Square h(n, n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      const double lag = i > j ? double(i - j) : double(j - i);
      h(i, j) = power[i] * power[j] * (std::pow(0.9, lag) + (i == j ? 0.05 : 0));
    }
  }
  return h;
}

// Eight columns of a row share a power of two. Planes: {"exponents"} [rows, ceil(cols / 8)] and {"codes"} with 4 bits.
class BlockFloat final : public Quantizer {
 public:
  explicit BlockFloat(Shape shape) : shape_(shape) {}
  std::vector<SymbolPlane> planes() const override {
    return {{.name = "exponents", .rows = shape_.rows, .cols = (shape_.cols + 7) / 8, .alphabet = 64},
            {.name = "codes", .rows = shape_.rows, .cols = shape_.cols, .alphabet = 16}};
  }
  Granule granule() const override { return {1, 8}; }
  Rect plane_rect(size_t plane, const Rect& at) const override {
    return plane == 0 ? Rect{at.row, at.col / 8, at.rows, (at.cols + 7) / 8} : at;
  }
  void quantize(const Rect& at, MatrixView<float> values, std::span<const MatrixView<Symbol>> symbols) const override {
    for (size_t r = 0; r < at.rows; ++r) {
      for (size_t c = 0; c < at.cols; c += 8) {
        const size_t end = std::min(at.cols, c + 8);
        float largest = 0;
        for (size_t i = c; i < end; ++i) largest = std::max(largest, std::abs(values(r, i)));
        int exponent = 0;
        std::frexp(largest, &exponent);
        symbols[0](r, c / 8) = static_cast<Symbol>(std::clamp(exponent + 32, 0, 63));
        const float step = std::ldexp(1.0f, symbols[0](r, c / 8) - 32 - 3);
        for (size_t i = c; i < end; ++i) {
          symbols[1](r, i) = static_cast<Symbol>(std::clamp(std::nearbyint(values(r, i) / step + 7.5f), 0.0f, 15.0f));
        }
      }
    }
    const std::vector<MatrixView<const Symbol>> views(symbols.begin(), symbols.end());
    dequantize(at, views, values);
  }
  void dequantize(const Rect& at, std::span<const MatrixView<const Symbol>> symbols,
                  MatrixView<float> out) const override {
    for (size_t r = 0; r < at.rows; ++r) {
      for (size_t c = 0; c < at.cols; ++c) {
        out(r, c) = std::ldexp(1.0f, symbols[0](r, c / 8) - 32 - 3) * (static_cast<float>(symbols[1](r, c)) - 7.5f);
      }
    }
  }
  void save(ByteWriter&) const override {}

 private:
  Shape shape_;
};

}  // namespace occ
