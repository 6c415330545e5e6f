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
  uint64_t source_hash = 0;   // hash of the f32 values of the source, by chunks (container/index.h)
  uint64_t decoded_hash = 0;  // the same of what the blob decodes to
  DistortionAccumulator distortion;
  // Where ctx has second moments H of the inputs: tr(E H E^T) / (|W|^2 tr(H) / cols), E the error. What is lost of the
  // outputs, relative to those that weights of the same energy would have if they were white: nmse if H is an identity.
  // With weights of the rows, squares of both are weighted with them.
  std::optional<double> weighted_error;
  std::vector<uint8_t> row_energies;  // with weights of the rows: profile of their weighted energies (metrics/limits.h)
};

// `original`: what hashes and distortion are about, if the values to code are not those of the tensor itself.
// Memory: one f32 matrix while fitting (one more per residual term), then the symbols (2 bytes each) and the coded
// bytes. Input error naming `what` and the first place if a value is NaN or infinite. `progress` gets bytes of f32.
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

// Bytes of the blob that encode_matrix will make, where that follows from the shape alone (coders of fixed length;
// side information that grows with the rows), and the most that it can have where entropy coders follow a quantizer
// with codebooks; 0 otherwise.
uint64_t predict_blob_bytes(const Recipe& recipe, Shape shape);

}  // namespace occ
