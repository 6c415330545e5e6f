// Encodes one matrix into one blob: fits the recipe, quantizes panels of rows, measures the error and codes the
// symbols.
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
  uint64_t growing_bytes = 0;  // bytes of those planes in the blob that grow with the rows
  uint64_t source_hash = 0;    // hash of the f32 values of the source, by chunks (container/index.h)
  uint64_t decoded_hash = 0;   // the same hash of the decoded values
  DistortionAccumulator distortion;
  // Only where ctx has second moments H of the inputs: tr(E H E^T) / (|W|^2 tr(H) / cols) for the error E of W. This is
  // the squared error of the outputs over the energy that outputs have on average for weights of that size, and the
  // nmse if H is the identity. Where ctx has weights of the rows, the rows of E and W are scaled by their roots first.
  std::optional<double> weighted_error;
  // Only where ctx has weights of the rows: the profile (metrics/limits.h) of the energies of the scaled rows.
  std::vector<uint8_t> row_energies;
};

// If `source` has changed values to code, `original` is the tensor without the changes; hashes and distortion are then
// about the original. Memory: one f32 matrix while fitting (one more for every residual term), then the symbols
// (2 bytes each) and the coded bytes. Input error with `what` and the first place if a value is NaN or infinite.
// `progress` counts bytes of f32 values.
EncodedMatrix encode_matrix(const Recipe& recipe, const RowSource& source, const FitContext& ctx,
                            const std::string& what, const std::function<void(uint64_t)>& progress = {},
                            const RowSource* original = nullptr);

// The hash of a decoded matrix, and its distortion against the source.
struct Measured {
  uint64_t decoded_hash = 0;
  DistortionAccumulator distortion;
};
Measured measure(const RowSource& source, MatrixView<const float> decoded);

// Returns the sum of squares, with row_weights[r] as the factor of row r (1 if empty). Input error as above.
double energy_of(const RowSource& source, const std::string& what, std::span<const double> row_weights = {});

// Returns the bytes of the blob that encode_matrix will make if they follow from the shape alone, because all codes
// have a fixed length. If an entropy coder follows a quantizer with codebooks, returns the most bytes that the blob can
// take. Returns 0 if neither is known.
uint64_t predict_blob_bytes(const Recipe& recipe, Shape shape);

}  // namespace occ
