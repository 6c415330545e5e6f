// One matrix -> one blob: fit the recipe, quantize panel by panel, measure, code.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "metrics/distortion.h"
#include "recipe/recipe.h"
#include "tensor/fit_context.h"
#include "tensor/row_source.h"

namespace occ {

struct EncodedMatrix {
  Bytes blob;
  uint64_t growing_bytes = 0;  // of the blob: planes that grow with the rows
  uint64_t source_hash = 0;    // hash of the f32 values of the source, by chunks (container/index.h)
  uint64_t decoded_hash = 0;   // the same of what the blob decodes to
  DistortionAccumulator distortion;
  // Only where ctx has second moments H of the inputs: tr(E H E^T) / (|W|^2 tr(H) / cols) for the error E of W. This is
  // the squared error of the outputs over the energy that outputs have on average for weights of that size, and the
  // nmse if H is the identity. Where ctx has weights of the rows, the rows of E and W are scaled by their roots first.
  std::optional<double> weighted_error;
  // Only where ctx has weights of the rows: the profile (metrics/limits.h) of the energies of the scaled rows.
  std::vector<uint8_t> row_energies;
};

// `original`: the tensor as it is, where `source` has other values to code; hashes and distortion are about the
// original. Memory: one f32 matrix while fitting (one more for every residual term), then the symbols (2 bytes each)
// and the coded bytes. Input error with `what` and the first place if a value is NaN or infinite. `progress` gets bytes
// of f32.
EncodedMatrix encode_matrix(const Recipe& recipe, const RowSource& source, const FitContext& ctx,
                            const std::string& what, const std::function<void(uint64_t)>& progress = {},
                            const RowSource* original = nullptr);

// What a matrix is decoded to, against the source.
struct Measured {
  uint64_t decoded_hash = 0;
  DistortionAccumulator distortion;
};
Measured measure(const RowSource& source, MatrixView<const float> decoded);

// Sum of squares, those of row r times row_weights[r] (empty: 1). Input error as above.
double energy_of(const RowSource& source, const std::string& what, std::span<const double> row_weights = {});

// Bytes of the blob that encode_matrix will make, where they follow from the shape alone: all coders are of fixed
// length. Where an entropy coder follows a quantizer with codebooks: the most that the blob can take. 0 if neither is
// known.
uint64_t predict_blob_bytes(const Recipe& recipe, Shape shape);

}  // namespace occ
