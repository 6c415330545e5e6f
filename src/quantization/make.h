// Registry functions of a quantizer: Q(params, shape, kind of its errors), then fit(params, values, context) or
// load(side information).
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

}  // namespace occ
