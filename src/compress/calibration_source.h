// What a calibration tells the compression about each tensor of a model: second moments of its inputs, importance of
// its rows, and a correction for errors of tensors that were coded before it.
#pragma once

#include <filesystem>
#include <functional>
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

// How much errors in the rows of a tensor matter.
struct RowImportance {
  // [rows] Weights of the squared errors of the rows, with mean 1.
  std::vector<double> weights;
  // The loss in nats per token that a squared error of 1 in one weight causes if the inputs are white; mean over the
  // weights.
  double loss = 0;
  MatrixView<const float> gains{};  // see FitContext::row_gains; may be empty
};

struct TensorCalibration {
  std::shared_ptr<const Moments> moments;  // second moments of its inputs, or null
  // Both or neither are null. fed_rows is for quantizers that feed errors of rows into later rows; its weights and its
  // loss belong to the errors that remain after that.
  std::shared_ptr<const RowImportance> rows, fed_rows;
  // K [cols, cols], or null. Errors of tensors that were coded earlier change the inputs of this tensor. Coding W + W K
  // instead of W compensates for that.
  std::shared_ptr<const Matrix<float>> correction;
  // Returns the weights [rows, cols] that are coded in place of the source's. If it is empty, those of the source are
  // coded.
  std::function<Matrix<float>()> weights;
  std::string note;  // for the report: tells which information is missing
};

// Results of fine-tuning by tensor name: new values of vectors that archives keep as floats, and factors for the rows
// of coded weights.
struct TunedValues {
  std::map<std::string, std::vector<float>> vectors, row_factors;
};

class CalibrationSource {
 public:
  virtual ~CalibrationSource() = default;
  // Identifies everything that find() depends on. A resumed run must have the same description.
  virtual std::string describe() const = 0;
  // Names of tensors in the order in which they must be coded. Tensors that are not listed may be coded at any time.
  virtual std::vector<std::string> order() const = 0;
  // Called once, before reach(), with the tensors that are not coded yet at that moment.
  virtual void start(const std::set<std::string>& /*to_be_coded*/) {}
  // Must be called before `tensor` is coded for the first time. Runs the model up to the inputs of this tensor. The
  // weights are those of `coded`: decoded values of tensors that are coded already, and those of the source for the
  // others.
  virtual void reach(const std::string& tensor, const TensorFile& coded) = 0;
  // Returns null if nothing is known about the tensor. Until reach() is called for the tensor, the result describes the
  // original model.
  virtual std::shared_ptr<const TensorCalibration> find(const std::string& tensor) const = 0;
  // Called when all tensors are coded. `scaled` are the names of the tensors whose rows may get factors, `fixed` those of
  // kept tensors that stay as they are. Appends to `notes`.
  virtual TunedValues tune(const TensorFile& coded, const std::set<std::string>& scaled,
                           const std::set<std::string>& fixed, std::vector<std::string>* notes) = 0;
};

// Receives the path of the finished archive before it is renamed to the output. If it returns false, the archive is
// removed; `output` then is what it was before, or what this function has made of it.
using AcceptArchive = std::function<bool(const std::filesystem::path& archive)>;

// Like compress_file. `calibration` may be null; without `accept` every archive is accepted.
CompressReport compress_source(const TensorFile& source, const std::filesystem::path& output,
                               const CompressOptions& options, CalibrationSource* calibration,
                               const AcceptArchive& accept = {});

// Checks everything about such a run that can be known before anything is measured or coded: options, methods, patterns
// of tensors, whether the output may be written, and whether the size asked for leaves room besides the kept tensors.
// Throws what compress_source would throw after its work.
void check_compression(const TensorFile& source, const std::filesystem::path& output, const CompressOptions& options);

}  // namespace occ
