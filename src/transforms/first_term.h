// The part of a matrix that is worth coding before the rest, as the first term of a sum. Encoder side only (library
// occ_encode).
#pragma once

#include <span>
#include <string>

#include "tensor/row_source.h"
#include "transforms/transform.h"

namespace occ {

// Costs of coding the planes of a first term.
struct PlaneCost {
  double bits = 0;           // bits per number
  double overhead_bits = 0;  // fixed bits for all planes together, whatever their size
  double loss = 0;           // share of the energy of the planes that coding loses
};

struct FirstTerm {
  std::string stage;       // "lowrank(rank=4)"; empty: no first term saves enough
  double bits = 0;         // bits of its planes per weight of the matrix
  double energy_left = 1;  // share of the energy that the rest still has
  Matrix<float> residual;  // [sampled rows, cols] the sample minus the first term
};

struct FirstTermQuery {
  const RowSource& source;
  MatrixView<const float> sample;  // some rows of the source
  std::span<const size_t> row_of;  // [sampled rows] indices of these rows in the source
  double rate = 0;                 // bits per weight that the matrix takes without a first term
  double least_gain = 0;           // bits per weight that the first term must save
  PlaneCost planes = {};
};

// Returns the first term that saves the most bits per weight if values are Gaussian. Reads the whole matrix only if the
// sample shows that there can be a gain.
using FirstTermSearch = FirstTerm (*)(const FirstTermQuery&, const FitContext&);

// Returns null if the transform cannot be a first term of a sum. Defined in transforms/fit_registry.cc.
FirstTermSearch first_term_search(const TransformEntry& entry);

}  // namespace occ
