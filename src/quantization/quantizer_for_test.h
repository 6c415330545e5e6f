// Shared by the tests of this folder: makes quantizers from text, codes whole matrices, provides seeded data.
#pragma once

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/normal_matrix_for_test.h"
#include "quantization/quantizer.h"

namespace occ {

struct QuantizerCase {
  std::string name;
  Params::Given given;

  const QuantizerEntry& entry() const {
    const QuantizerEntry* found = find_quantizer(name);
    OCC_CHECK(found != nullptr);
    return *found;
  }
  Params params() const { return Params(entry().params, given, name); }
  std::string text() const { return name + params().print(); }
  std::unique_ptr<Quantizer> fit(MatrixView<const float> x) const { return quantizer_fit(entry())(params(), x, {}); }
};

struct Coded {
  std::vector<Matrix<Symbol>> symbols;
  Matrix<float> values;  // the reconstruction

  std::vector<MatrixView<Symbol>> planes() {
    std::vector<MatrixView<Symbol>> views;
    for (auto& s : symbols) views.push_back(s.view());
    return views;
  }
  std::vector<MatrixView<const Symbol>> const_planes() const {
    std::vector<MatrixView<const Symbol>> views;
    for (const auto& s : symbols) views.push_back(s.view());
    return views;
  }
};

inline Coded quantize_whole(const Quantizer& quantizer, MatrixView<const float> x) {
  Coded coded;
  coded.values = Matrix<float>(x.rows(), x.cols());
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t c = 0; c < x.cols(); ++c) coded.values(r, c) = x(r, c);
  }
  for (const SymbolPlane& plane : quantizer.planes()) coded.symbols.emplace_back(plane.rows, plane.cols);
  const auto planes = coded.planes();
  quantizer.quantize({0, 0, x.rows(), x.cols()}, coded.values.view(), planes);
  return coded;
}

inline Matrix<float> dequantize_whole(const Quantizer& quantizer, const Coded& coded) {
  Matrix<float> out(coded.values.rows(), coded.values.cols());
  const auto planes = coded.const_planes();
  quantizer.dequantize({0, 0, out.rows(), out.cols()}, planes, out.view());
  return out;
}

inline Bytes side_bytes(const Quantizer& quantizer) {
  ByteWriter out;
  quantizer.save(out);
  return out.take();
}

// Returns sum (x - y)^2 / sum x^2, computed in a simple way.
inline double nmse_oracle(MatrixView<const float> x, MatrixView<const float> y) {
  long double error = 0, energy = 0;
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t c = 0; c < x.cols(); ++c) {
      const long double d = static_cast<long double>(x(r, c)) - static_cast<long double>(y(r, c));
      error += d * d;
      energy += static_cast<long double>(x(r, c)) * static_cast<long double>(x(r, c));
    }
  }
  return energy == 0 ? 0 : static_cast<double>(error / energy);
}

// The relative error of coding x with a fresh fit to it.
inline double nmse_of(const QuantizerCase& c, const Matrix<float>& x) {
  return nmse_oracle(x.view(), quantize_whole(*c.fit(x.view()), x.view()).values.view());
}

inline bool same_floats(MatrixView<const float> a, MatrixView<const float> b) {
  if (a.shape() != b.shape()) return false;
  for (size_t r = 0; r < a.rows(); ++r) {
    if (a.cols() != 0 && std::memcmp(a.row(r), b.row(r), a.cols() * sizeof(float)) != 0) return false;
  }
  return true;
}
inline bool same_symbols(const Coded& a, const Coded& b) {
  for (size_t i = 0; i < a.symbols.size(); ++i) {
    if (a.symbols[i].shape() != b.symbols[i].shape()) return false;
    const size_t bytes = a.symbols[i].size() * sizeof(Symbol);
    if (bytes != 0 && std::memcmp(a.symbols[i].data(), b.symbols[i].data(), bytes) != 0) return false;
  }
  return a.symbols.size() == b.symbols.size();
}

}  // namespace occ
