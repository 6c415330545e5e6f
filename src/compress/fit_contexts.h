// What fits of the tensors of a run are given: second moments of their inputs, from files or from a calibration, and
// what errors of their rows cost.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "compress/calibration_source.h"
#include "compress/moments.h"
#include "compress/plan.h"
#include "occ/compress.h"
#include "tensor/fit_context.h"
#include "tensor/row_source.h"
#include "tensor/tensor_file.h"

namespace occ {

class FitContexts {
 public:
  // `given`: second moments of all inputs, may be empty. `calibration` may be null. All must outlive this.
  FitContexts(const TensorFile& source, const CompressOptions& options, MatrixView<const double> given,
              CalibrationSource* calibration);

  // Sensitivities and coordinates from what is known; notes, and input errors where moments fit no tensor.
  void plan(std::vector<PlannedTensor>* plan, std::vector<std::string>* notes) const;
  // Places in the plan, those of the calibrated model in the order of its layers and behind all others.
  std::vector<size_t> coding_order(const std::vector<PlannedTensor>& plan) const;
  // For fits of tensor t, at its step or, while it has none, at about `bits` per weight. The second moments live as
  // long as what is returned with it. Fallbacks of the calibration go to `notes`.
  std::pair<FitContext, std::shared_ptr<const Moments>> context(const PlannedTensor& t, double bits,
                                                                std::vector<std::string>* notes = nullptr) const;
  bool has_moments(const PlannedTensor& t) const;
  // W + W K where the calibration has a correction K, else nothing.
  Matrix<float> corrected(const PlannedTensor& t, const RowSource& original) const;
  // Everything that decides what these are, files by their state.
  std::string describe() const;

 private:
  // Importance of its rows, or null.
  const RowImportance* rows_of(const TensorCalibration& known, const PlannedTensor& t) const;
  std::string name(const PlannedTensor& t) const { return source_.tensors()[t.index].name; }
  std::shared_ptr<const TensorCalibration> calibrated(const PlannedTensor& t) const;

  const TensorFile& source_;
  const CompressOptions& options_;
  CalibrationSource* const calibration_;  // or null
  const MomentSource moments_;
  bool feeds_rows_ = false;
};

}  // namespace occ
