// Presents a file in which some tensors are replaced by floats of the same shape, such as fine-tuned vectors.
#pragma once

#include <algorithm>
#include <map>

#include "base/error.h"
#include "tensor/tensor_file.h"

namespace occ {

class ChangedFile final : public TensorFile {
 public:
  // `base` must outlive this object.
  explicit ChangedFile(const TensorFile& base) : base_(base), infos_(base.tensors()) {}
  // Usage error unless the file has a tensor with this name and this number of elements.
  void replace(const std::string& tensor, std::vector<float> values) {
    const size_t i = find(tensor);
    if (i == infos_.size()) throw_usage("{}: tensor '{}': expected it to be there, found none", path(), tensor);
    if (infos_[i].elements() != values.size()) {
      throw_usage("{}: tensor '{}': expected {} values, found {}", path(), tensor, infos_[i].elements(), values.size());
    }
    infos_[i].dtype = DType::kF32;
    infos_[i].stored_type.clear();
    infos_[i].stored_bytes = values.size() * sizeof(float);
    values_[i] = std::move(values);
  }

  std::string path() const override { return base_.path(); }
  std::string format() const override { return base_.format(); }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override {
    const auto found = values_.find(i);
    if (found == values_.end()) return base_.read_f32(i, first, count, out);
    std::copy_n(found->second.data() + first, count, out);
  }
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override {
    if (!values_.contains(i)) return base_.read_raw(i, first, count, out);
    read_f32(i, first, count, static_cast<float*>(out));
  }
  size_t read_granularity(size_t i) const override { return values_.contains(i) ? 1 : base_.read_granularity(i); }
  std::vector<SideFile> side_files() const override { return base_.side_files(); }
  uint64_t file_bytes() const override { return base_.file_bytes(); }

 private:
  const TensorFile& base_;
  std::vector<TensorInfo> infos_;
  std::map<size_t, std::vector<float>> values_;
};

}  // namespace occ
