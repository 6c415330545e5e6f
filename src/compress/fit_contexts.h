// What a fit needs to know about a tensor besides its values: the second moments of the inputs, from files or from a
// calibration, and how much errors in the rows cost.
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
  // `given` are second moments of the inputs of all tensors, or empty. `calibration` may be null. All arguments must
  // outlive this object.
  FitContexts(const TensorFile& source, const CompressOptions& options, MatrixView<const double> given,
              CalibrationSource* calibration);

  // Sets the sensitivities and coordinates that a calibration knows for tensors of the plan. Input error if there are
  // second moments but none of them belongs to a tensor.
  void prepare(std::vector<PlannedTensor>* plan, std::vector<std::string>* notes) const;
  // Returns places in the plan in the order in which tensors must be coded: first the tensors that the calibration does
  // not know, then the others in the order of the layers.
  std::vector<size_t> coding_order(const std::vector<PlannedTensor>& plan) const;
  // Returns the context for a fit of tensor t at its step or, if it has no step yet, at about `bits` bits per weight.
  // The moments in the pair keep alive what the context points to. Fallbacks of the calibration are added to `notes`.
  std::pair<FitContext, std::shared_ptr<const Moments>> context(const PlannedTensor& t, double bits,
                                                                std::vector<std::string>* notes = nullptr) const;
  bool has_moments(const PlannedTensor& t) const;
  // Returns W + W K if the calibration has weights W other than those of the source, or a correction K. Otherwise
  // returns an empty matrix.
  Matrix<float> corrected(const PlannedTensor& t, const RowSource& original) const;
  // Describes everything that the contexts depend on, so that --resume can compare it. Files are described by their
  // size and time.
  std::string describe() const;

 private:
  // Returns the importance of the rows of t, or null.
  const RowImportance* rows_of(const TensorCalibration& known, const PlannedTensor& t) const;
  std::string name(const PlannedTensor& t) const { return source_.tensors()[t.index].name; }
  std::shared_ptr<const TensorCalibration> calibrated(const PlannedTensor& t) const;

  const TensorFile& source_;
  const CompressOptions& options_;
  CalibrationSource* const calibration_;  // or null
  const MomentSource moments_;
  const Bytes codebooks_;  // side information of the first plane of options.codebooks; empty: none
  bool feeds_rows_ = false;
};

}  // namespace occ
