// What an analysis of coordinate systems (compress/analysis.h) says about several tensors together.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "compress/analysis.h"

namespace occ {

// One coordinate system. Means are over the weights of the tensors that were measured in it.
struct SystemSummary {
  std::string name;
  size_t tensors = 0;  // measured in it
  size_t coded = 0;    // coded in it; in others the side information alone is too large
  size_t wins = 0;     // tensors whose best system it is
  // Bits per weight less than in their own coordinates, over the tensors that were coded; negative: more.
  std::optional<double> saved_bits;
  double side_bits = 0, entropy = 0;
  double max_over_rms = 0, beyond_3_sigma = 0, kurtosis = 0, top_1 = 0, top_10 = 0, coding_gain = 0;
  std::vector<double> histogram;  // mean of SystemFigures::histogram
};

struct AnalysisSummary {
  size_t tensors = 0;
  uint64_t elements = 0;
  double identity_bits = 0;            // bits per weight of the tensors in their own coordinates
  double gain = 0;                     // bits per weight saved if every tensor takes its best system
  std::vector<SystemSummary> systems;  // in the order in which they were measured first

  // As in "identity 12, pca(block=16) 3": who wins how many tensors.
  std::string winners() const;
};

AnalysisSummary summarize(std::span<const TensorAnalysis> tensors, std::span<const size_t> members);
AnalysisSummary summarize(std::span<const TensorAnalysis> tensors);  // all of them

}  // namespace occ
