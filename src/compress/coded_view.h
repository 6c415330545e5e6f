// Presents the tensors of a run that is not finished: tensors that are already coded with their decoded values, all
// others with the values of the source.
#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "tensor/tensor_file.h"

namespace occ {

class CodedView final : public TensorFile {
 public:
  // Returns the decoded values of tensor i, or an empty matrix if it is not coded.
  using Decode = std::function<Matrix<float>(size_t i)>;
  CodedView(const TensorFile& source, Decode decode)
      : source_(source), decode_(std::move(decode)), infos_(source.tensors()) {
    // A stored_type makes readers read floats. In the type of the source, the decoded values would be rounded.
    for (TensorInfo& t : infos_) t.stored_type = "coded";
  }

  std::string path() const override { return source_.path(); }
  std::string format() const override { return source_.format(); }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override;
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override;
  std::vector<SideFile> side_files() const override { return source_.side_files(); }
  uint64_t file_bytes() const override { return source_.file_bytes(); }

 private:
  std::shared_ptr<const Matrix<float>> decoded(size_t i) const;

  const TensorFile& source_;
  const Decode decode_;
  std::vector<TensorInfo> infos_;
  mutable std::mutex mutex_;
  mutable size_t recent_ = static_cast<size_t>(-1);
  mutable std::shared_ptr<const Matrix<float>> values_;  // decoded values of tensor recent_
};

}  // namespace occ
