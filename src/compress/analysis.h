// Tells which coordinate system suits which tensor: the figures of `occ analyze`. Every system that the registry of
// transforms offers (TransformRoles::forms) is measured in two ways.
//   How its coefficients are distributed: flat (max over rms, share beyond 3 sigma, kurtosis) or concentrated (energy of
//   the largest coefficients, effective rank, coding gain), and their entropy with a uniform step.
//   What it is worth: the bits per weight of the tensor, coded by the method `trellis` in this system with the error that
//   the tensor has in its own coordinates. All side information is counted, but not the zeros that fill a blob up to
//   whole 64 bytes, which would hide what small tensors gain. The error is the nmse or, where second
//   moments of the inputs are known, the error of the outputs (EncodedMatrix::weighted_error).
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
  std::string name;    // "identity", "pca(block=16)", ...: the last stage of the recipe, or the name of the first term
  std::string recipe;  // the beginning of a recipe, what follows is the quantizer; empty: identity
  double max_over_rms = 0, beyond_3_sigma = 0, kurtosis = 0;  // metrics/concentration.h
  double top_1 = 0, top_5 = 0, top_10 = 0;                    // share of the energy in the largest 1, 5, 10 %
  // Of the energies of the components: those of the columns or, where a transform mixes rows, of the rows. Energies below
  // the error count as that in the coding gain.
  double effective_rank = 0, coding_gain = 0;
  double entropy = 0;  // bits per coefficient, all rounded to multiples of one step: about `bits` if they are Gaussian
  double side_bits = 0;  // bits per weight of the side information (of the planes of a first term: estimated)
  // Bits per weight at equal error. Nothing if the side information alone takes more than the tensor does in its own
  // coordinates, or if that error cannot be reached.
  std::optional<double> bits = std::nullopt;
};

struct TensorAnalysis {
  std::string name;
  std::vector<uint64_t> shape;
  uint64_t elements = 0;
  size_t sampled_rows = 0;  // of the matrix, all of them or a sample
  size_t rows = 0;
  double error = 0;                    // at which bits are compared
  bool weighted = false;               // whether that is the error of the outputs
  std::vector<SystemFigures> systems;  // the first is the identity
  // The system of the fewest bits; 0 if it saves less than 0.01 bits per weight or than chance may, 3 / sqrt(weights).
  size_t best = 0;
  double gain = 0;  // bits per weight that it saves
};

struct AnalysisOptions {
  std::string tensor;  // glob pattern of names; empty: what `compress` would code by default
  double bits = 3;     // rough bits per weight at which systems are compared: the step is that of Gaussian weights
  int effort = 3;      // as in CompressOptions
  uint64_t seed = 0;
  // Returns the second moments of the inputs of a tensor, or null. May be empty.
  std::function<std::shared_ptr<const Moments>(const std::string& tensor, size_t cols)> moments;
  // Returns the analysis of a tensor that an earlier run has finished. May be empty.
  std::function<std::optional<TensorAnalysis>(const std::string& tensor)> known;
  std::function<void(const TensorAnalysis&)> finished;          // called after every other tensor, in order
  std::function<void(uint64_t done, uint64_t total)> progress;  // counts weights
};

// Analyses the tensors of a file one after the other; only one is in memory, with a few copies. Usage error if the
// pattern matches no tensor, or if none can be coded.
std::vector<TensorAnalysis> analyze_tensors(const TensorFile& source, const AnalysisOptions& options);

}  // namespace occ
