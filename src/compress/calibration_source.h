// What is known about the inputs and the loss of a model's tensors while they are coded one after the other.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "compress/moments.h"
#include "occ/compress.h"
#include "tensor/tensor_file.h"

namespace occ {

// What errors of the rows of a tensor cost.
struct RowCosts {
  std::vector<double> weights;  // [rows] of squared errors of its rows, mean 1
  // Loss of the model for a squared error of 1 in every weight, if inputs were white: mean weight of the rows times
  // mean diagonal of the moments.
  double loss = 0;
  MatrixView<const float> gains{};  // FitContext::row_gains, or empty
};

struct TensorCalibration {
  std::shared_ptr<const Moments> moments;  // of its inputs, or null
  // Or null. The second for codes that feed errors of rows into later ones: weights and loss are about what is left.
  std::shared_ptr<const RowCosts> rows, fed_rows;
  // [cols, cols] K, or null: coding W + W K instead of W makes up for what the tensors before it changed.
  std::shared_ptr<const Matrix<float>> correction;
  std::string note;  // a fallback, for the report
};

// Better values, by tensor, for vectors that are kept and factors for the rows of coded weights.
struct TunedValues {
  std::map<std::string, std::vector<float>> vectors, row_factors;
};

class CalibrationSource {
 public:
  virtual ~CalibrationSource() = default;
  // Everything that decides what find() gives, for --resume.
  virtual std::string describe() const = 0;
  // Names in the order in which tensors must be coded. Others have no place in it.
  virtual std::vector<std::string> order() const = 0;
  // Before `tensor` is coded for the first time: runs the model up to there with the tensors before it as they are in
  // `coded` (same tensors as the source; what is coded already has its decoded values).
  virtual void reach(const std::string& tensor, const TensorFile& coded) = 0;
  // Null where nothing is known. Until reach(), of the model as it was.
  virtual std::shared_ptr<const TensorCalibration> find(const std::string& tensor) const = 0;
  // When all is coded. `scaled`: tensors whose rows may have factors.
  virtual TunedValues tune(const TensorFile& coded, const std::set<std::string>& scaled,
                           std::vector<std::string>* notes) = 0;
};

// compress_file with calibration, or with none (null).
CompressReport compress_source(const TensorFile& source, const std::filesystem::path& output,
                               const CompressOptions& options, CalibrationSource* calibration);

}  // namespace occ
