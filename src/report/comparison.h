// MEASURE: one tensor file against another, tensor by tensor: the figures of `occ compare`.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "metrics/cosines.h"
#include "metrics/distortion.h"
#include "metrics/weighted_error.h"
#include "tensor/tensor_file.h"

namespace occ {

// Of one tensor, or of several together.
struct TensorComparison {
  std::string name;
  uint64_t bytes = 0;  // stored in the second file
  DistortionAccumulator distortion;
  std::optional<WeightedDistortion> weighted;
  std::optional<CosineFigures> cosines;

  double bpw() const;
  void merge(const TensorComparison& o);  // all but the name
};

struct ComparisonOptions {
  std::string tensor;       // glob; empty: all
  std::string activations;  // file of input vectors x (rows), for the tensors of that width; empty: none
  bool cosines = false;
  std::function<void(uint64_t done, uint64_t total)> progress;  // in elements
};

struct Comparison {
  std::vector<TensorComparison> tensors;
  TensorComparison total;
  double bpw = 0;  // of the second file; where all of its tensors were compared, with every other byte of it
  std::vector<std::string> only_in_a;
  // Tensors that hold integers in both files are indices and masks: they are compared for equality and stay out of the
  // errors.
  size_t integer_tensors = 0;
  std::vector<std::string> unequal;  // those of them that differ in type or values
};

// Two files with one tensor each are compared whatever their names. Input error if shapes differ, if nothing has the
// same name, or if the activations fit no tensor; usage error if the glob matches nothing.
Comparison compare_files(const TensorFile& a, const TensorFile& b, const ComparisonOptions& options);

TensorComparison total_of(std::span<const TensorComparison> tensors, std::span<const size_t> members);

}  // namespace occ
