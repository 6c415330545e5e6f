// Compares one tensor file with another, tensor by tensor. These are the figures of `occ compare`.
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

// The figures of one tensor, or of several tensors together.
struct TensorComparison {
  std::string name;
  uint64_t bytes = 0;  // bytes of the tensor in the second file
  DistortionAccumulator distortion;
  std::optional<WeightedDistortion> weighted;
  std::optional<CosineFigures> cosines;

  double bpw() const;
  void merge(const TensorComparison& o);  // adds all figures of `o`; the name stays
};

struct ComparisonOptions {
  std::string tensor;       // glob pattern of the names; empty: all tensors
  std::string activations;  // file whose rows are input vectors, for tensors of the same width; empty: none
  bool cosines = false;
  std::function<void(uint64_t done, uint64_t total)> progress;  // counts elements
};

struct Comparison {
  std::vector<TensorComparison> tensors;
  TensorComparison total;
  // Bits per weight of the tensors in the second file. If all tensors of that file were compared, every other byte of
  // the file counts as well.
  double bpw = 0;
  std::vector<std::string> only_in_a;
  // Tensors that hold integers in both files are usually indices or masks. They are only compared for equality and are
  // not part of the errors.
  size_t integer_tensors = 0;
  std::vector<std::string> unequal;  // names of the integer tensors that differ in type or values
};

// Compares the tensors of `b` with those of the reference `a` that have the same names. If both files have one tensor
// only, the names may differ. Input error if shapes differ, if no two tensors have the same name, or if no tensor has
// the width of the activations. Usage error if the glob pattern matches nothing.
Comparison compare_files(const TensorFile& a, const TensorFile& b, const ComparisonOptions& options);

// Returns the figures of the tensors with the indices `members` together.
TensorComparison total_of(std::span<const TensorComparison> tensors, std::span<const size_t> members);

}  // namespace occ
