// What the fit of every tensor of a run is given besides its values: second moments of its inputs, from files or from a
// calibration, and what errors in its rows cost.
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

  // Gives tensors of the plan the sensitivities and coordinates that a calibration knows. Input error if there are
  // second moments, but not for any tensor.
  void prepare(std::vector<PlannedTensor>* plan, std::vector<std::string>* notes) const;
  // Places in the plan in the order in which to code them: tensors that the calibration does not know, then the others
  // in the order of the layers.
  std::vector<size_t> coding_order(const std::vector<PlannedTensor>& plan) const;
  // For a fit of tensor t at its step or, while it has none, at about `bits` per weight. What the context points to
  // lives as long as the moments beside it. Fallbacks of the calibration go to `notes`.
  std::pair<FitContext, std::shared_ptr<const Moments>> context(const PlannedTensor& t, double bits,
                                                                std::vector<std::string>* notes = nullptr) const;
  bool has_moments(const PlannedTensor& t) const;
  // W + W K where the calibration has a correction K, otherwise an empty matrix.
  Matrix<float> corrected(const PlannedTensor& t, const RowSource& original) const;
  // Everything that decides what fits are given, for --resume. Files are described by their size and time.
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
