// The part of a matrix that is worth coding before the rest, as the first term of a sum. Encoder side only (library
// occ_encode).
#pragma once

#include <span>
#include <string>

#include "tensor/row_source.h"
#include "transforms/transform.h"

namespace occ {

// What coding the planes of a first term costs.
struct PlaneCost {
  double bits = 0;           // per number
  double overhead_bits = 0;  // of all planes together, whatever their size
  double loss = 0;           // share of their energy that is lost
};

struct FirstTerm {
  std::string stage;       // "lowrank(rank=4)"; empty: none is worth it
  double bits = 0;         // of its planes, per weight of the matrix
  double energy_left = 1;  // share of the energy that is left for the rest
  Matrix<float> residual;  // [sampled rows, cols], what is left of the sample
};

struct FirstTermQuery {
  const RowSource& source;
  MatrixView<const float> sample;  // rows of the source
  std::span<const size_t> row_of;  // [sampled rows] where they come from
  double rate = 0;                 // bits per weight that the matrix takes without a first term
  double least_gain = 0;           // bits per weight that it must save
  PlaneCost planes = {};
};

// The first term that saves the most bits per weight if values are Gaussian. Reads the whole matrix only where the
// sample promises something.
using FirstTermSearch = FirstTerm (*)(const FirstTermQuery&, const FitContext&);

// Null: the transform is no first term of a sum. Defined in transforms/fit_registry.cc.
FirstTermSearch first_term_search(const TransformEntry& entry);

}  // namespace occ
