// The tensors of a run, one by one: coded into parts or kept as they are, decoded again, and tuned when all is coded.
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
  // All of them must outlive this. `notes` gets the reasons for tensors that are kept instead of coded.
  PartCoder(const TensorFile& source, const CompressOptions& options, const FitContexts& contexts, Meter* meter,
            std::vector<std::string>* notes);

  // Before any tensor is coded: where parts are saved, and found again if options.resume. `job` describes the run.
  void open_store(const std::filesystem::path& output, const std::string& job);
  // Removes it: the archive is complete, or going on would fail again.
  void remove_store();

  // Gives a tensor that is kept its part.
  void keep(const PlannedTensor& t);
  // Codes tensor t with its recipe, unless it has that part already. Where this brings nothing, the tensor is kept: its
  // entry in the plan changes. `bits` per weight are aimed at.
  void code(PlannedTensor* t, double bits);
  // Asks the calibration, now that all is coded, for better values of the tensors that are kept and of row scales.
  void tune(std::vector<PlannedTensor>* plan, CalibrationSource* calibration, const TensorFile& coded);

  const Parts& parts() const { return parts_; }
  // What tensor i of the source is decoded to; an empty matrix if it is not coded.
  Matrix<float> decode(size_t i);
  // Tensor i as it goes into the archive.
  Bytes bytes(size_t i) const;
  // Waits until the last part is saved. Throws what went wrong with it.
  void finish_saving();

 private:
  const TensorInfo& info(size_t i) const { return source_.tensors()[i]; }
  std::string where(size_t i) const { return tensor_name(source_, i); }
  void keep_instead(PlannedTensor* t, const std::string& why);
  EncodedMatrix encode(const PlannedTensor& t, const FitContext& ctx) const;
  bool set_vector(const PlannedTensor& t, const std::vector<float>& values);
  bool set_row_factors(const PlannedTensor& t, const std::vector<float>& factors);
  double energy(size_t i) const;

  const TensorFile& source_;
  const CompressOptions& options_;
  const FitContexts& contexts_;
  Meter* const meter_;
  std::vector<std::string>* const notes_;
  Parts parts_;
  std::map<size_t, Bytes> tuned_;                     // kept tensors with other values than the source
  std::map<size_t, std::vector<float>> row_factors_;  // of coded tensors, tuned
  std::optional<PartStore> store_;
  std::future<void> saving_;  // of the part before; waits when it goes out of scope
};

}  // namespace occ
