// Functions for the registry entry of a quantizer class Q. Each makes Q(params, shape, kind of its errors) and then
// calls fit(params, values, context), load(side information) or, to predict sizes, clear(params).
#pragma once

#include "base/error.h"
#include "quantization/quantizer.h"

namespace occ {

template <typename Q>
std::unique_ptr<Quantizer> fit_quantizer(const Params& params, MatrixView<const float> x, const FitContext& ctx) {
  auto quantizer = std::make_unique<Q>(params, x.shape(), ErrorKind::kUsage);
  quantizer->fit(params, x, ctx);
  return quantizer;
}

template <typename Q>
std::unique_ptr<Quantizer> load_quantizer(const Params& params, Shape shape, ByteReader& side) {
  auto quantizer = std::make_unique<Q>(params, shape, ErrorKind::kInput);
  quantizer->load(side);
  return quantizer;
}

template <typename Q>
std::unique_ptr<Quantizer> blank_quantizer(const Params& params, Shape shape) {
  auto quantizer = std::make_unique<Q>(params, shape, ErrorKind::kUsage);
  quantizer->clear(params);
  return quantizer;
}

}  // namespace occ
