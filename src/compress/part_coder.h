// Codes the tensors of a run one after the other into parts, or keeps them as they are. It also decodes parts again,
// and applies the results of fine-tuning when all tensors are coded.
#pragma once

#include <filesystem>
#include <future>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compress/calibration_source.h"
#include "compress/encode.h"
#include "compress/fit_contexts.h"
#include "compress/meter.h"
#include "compress/part_store.h"
#include "compress/plan.h"
#include "occ/compress.h"
#include "tensor/tensor_file.h"

namespace occ {

class PartCoder {
 public:
  // All arguments must outlive this object. `notes` gets the reasons for tensors that are kept instead of coded.
  PartCoder(const TensorFile& source, const CompressOptions& options, const FitContexts& contexts, Meter* meter,
            std::vector<std::string>* notes);

  // Must be called before any tensor is coded. Opens the store in which parts are saved, and in which they are found
  // again if options.resume is set. `job` describes the run.
  void open_store(const std::filesystem::path& output, const std::string& job);
  // Removes the store, because the archive is complete or because a resumed run would fail again.
  void remove_store();

  // Makes the part of a tensor that is kept.
  void keep(const PlannedTensor& t);
  // Codes tensor t with its recipe, unless it has that part already. If coding brings no gain, the tensor is kept and
  // its entry in the plan changes. `bits` is the rate in bits per weight that the run aims at.
  void code(PlannedTensor* t, double bits);
  // Called when everything is coded. Asks the calibration for better values of kept tensors and of row scales.
  void tune(std::vector<PlannedTensor>* plan, CalibrationSource* calibration, const TensorFile& coded);

  const Parts& parts() const { return parts_; }
  // Returns the decoded values of tensor i of the source, or an empty matrix if it is not coded.
  Matrix<float> decode(size_t i);
  // Returns the bytes of tensor i as the archive stores them.
  Bytes bytes(size_t i) const;
  // Waits until the last part is saved. Throws the error if saving it failed.
  void finish_saving();

 private:
  const TensorInfo& info(size_t i) const { return source_.tensors()[i]; }
  std::string where(size_t i) const { return tensor_name(source_, i); }
  void keep_instead(PlannedTensor* t, const std::string& why);
  Bytes source_bytes(size_t i) const;
  EncodedMatrix encode(const PlannedTensor& t, const FitContext& ctx) const;
  bool set_vector(const PlannedTensor& t, const std::vector<float>& values);
  void set_row_factors(const PlannedTensor& t, const std::vector<float>& factors);
  double energy(size_t i) const;

  const TensorFile& source_;
  const CompressOptions& options_;
  const FitContexts& contexts_;
  Meter* const meter_;
  std::vector<std::string>* const notes_;
  Parts parts_;
  std::map<size_t, Bytes> tuned_;                     // kept tensors whose values differ from the source after tuning
  std::map<size_t, std::vector<float>> row_factors_;  // tuned factors of coded tensors
  std::optional<PartStore> store_;
  std::future<void> saving_;  // saves the previous part; the destructor waits for it
};

}  // namespace occ
