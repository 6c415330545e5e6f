// Tells which coordinate system suits which tensor: the figures of `occ analyze`. Every system that the registry of
// transforms offers (TransformRoles::forms) is measured in two ways.
//   How its coefficients are distributed: flat (max over rms, share beyond 3 sigma, kurtosis) or concentrated (energy
//   of the largest coefficients, effective rank, coding gain), and their entropy with a uniform step.
//   What it is worth: the bits per weight of the tensor, coded by the method `trellis` in this system with the error
//   that the tensor has in its own coordinates. All side information is counted, but not the zeros that fill a blob up
//   to whole 64 bytes, which would hide what small tensors gain. The error is the nmse or, if second moments of the
//   inputs are known, the error of the outputs (EncodedMatrix::weighted_error).
// Errors are made equal by coding at two or three steps and interpolating the bits between the last two, where they are
// not equal within 0.01 octaves. Tensors of more than 2^24 weights are measured on evenly spread rows.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compress/moments.h"
#include "tensor/tensor_file.h"

namespace occ {

struct SystemFigures {
  // "identity", "pca(block=16)", ...: last stage of the transforms, or name of the first term of a sum.
  std::string name;
  // Beginning of a recipe up to the quantizer, which is missing; empty for the identity.
  std::string recipe;
  double max_over_rms = 0, beyond_3_sigma = 0, kurtosis = 0;  // see metrics/concentration.h
  double top_1 = 0, top_5 = 0, top_10 = 0;  // share of the energy in the largest 1, 5 and 10 % of the values
  // Both are computed from the energies of the columns or, if a transform mixes rows, of the rows. In the coding gain,
  // energies below the error count as equal to it.
  double effective_rank = 0, coding_gain = 0;
  // Shares of the coefficients in 41 bins, each a quarter of their rms wide. The middle bin is around 0; the first and
  // the last one take everything beyond.
  static constexpr size_t kBins = 41;
  static constexpr double kBinWidth = 0.25;
  std::vector<double> histogram = {};
  // Entropy in bits per coefficient, if all are rounded to multiples of one step; about `bits` if they are Gaussian.
  double entropy = 0;
  // Bits per weight of the side information; an estimate if it is the planes of a first term.
  double side_bits = 0;
  // Bits per weight at the same error as the identity. Nothing if the side information alone takes more bits than the
  // whole tensor takes in its own coordinates, or if that error cannot be reached.
  std::optional<double> bits = std::nullopt;
};

struct TensorAnalysis {
  std::string name;
  std::vector<uint64_t> shape;
  uint64_t elements = 0;
  size_t sampled_rows = 0;  // number of rows measured: all rows of the matrix, or a sample
  size_t rows = 0;
  double error = 0;                    // the error at which the bits of all systems are compared
  bool weighted = false;               // whether that is the error of the outputs
  std::vector<SystemFigures> systems;  // the first one is the identity
  // Index of the system with the fewest bits. 0 if it saves less than 0.01 bits per weight, or less than may be chance,
  // 3 / sqrt(weights).
  size_t best = 0;
  double gain = 0;  // bits per weight that the best system saves against the identity
};

struct AnalysisOptions {
  // Glob pattern of tensor names; empty: the tensors that `compress` would code by default.
  std::string tensor;
  // Rough bits per weight at which systems are compared; sets the step as for Gaussian weights.
  double bits = 3;
  int effort = 3;  // as in CompressOptions
  uint64_t seed = 0;
  // Returns the second moments of the inputs of a tensor, or null. May be empty.
  std::function<std::shared_ptr<const Moments>(const std::string& tensor, size_t cols)> moments;
  // Returns the result for a tensor if an earlier run has analysed it. May be empty.
  std::function<std::optional<TensorAnalysis>(const std::string& tensor)> known;
  // Called for each newly analysed tensor, in order.
  std::function<void(const TensorAnalysis&)> finished;
  std::function<void(uint64_t done, uint64_t total)> progress;  // counts weights
};

// Analyses the tensors of a file one after the other. Memory: one tensor and a few copies of it. Usage error if the
// pattern matches no tensor, or if no tensor can be coded.
std::vector<TensorAnalysis> analyze_tensors(const TensorFile& source, const AnalysisOptions& options);

}  // namespace occ
