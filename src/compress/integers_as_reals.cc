#include "compress/integers_as_reals.h"

#include <algorithm>

#include "base/glob.h"

namespace occ {
namespace {

class RealsView final : public TensorFile {
 public:
  RealsView(std::unique_ptr<TensorFile> file, const std::vector<bool>& as_reals)
      : file_(std::move(file)), infos_(file_->tensors()) {
    for (size_t i = 0; i < infos_.size(); ++i) {
      if (!as_reals[i]) continue;
      infos_[i].stored_type = dtype_name(infos_[i].dtype);
      infos_[i].dtype = DType::kF32;
    }
  }

  std::string path() const override { return file_->path(); }
  std::string format() const override { return file_->format(); }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override {
    file_->read_f32(i, first, count, out);
  }
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override {
    if (infos_[i].dtype == file_->tensors()[i].dtype) return file_->read_raw(i, first, count, out);
    file_->read_f32(i, first, count, static_cast<float*>(out));
  }
  size_t read_granularity(size_t i) const override { return file_->read_granularity(i); }
  std::vector<SideFile> side_files() const override { return file_->side_files(); }
  std::vector<std::string> notes() const override { return file_->notes(); }
  uint64_t file_bytes() const override { return file_->file_bytes(); }

 private:
  std::unique_ptr<TensorFile> file_;
  std::vector<TensorInfo> infos_;
};

// Number of elements from which a code with all its side information is smaller than the integers.
constexpr uint64_t kLeastElements = 4096;

bool is_feature_matrix(const TensorInfo& t) {
  return (t.dtype == DType::kU8 || t.dtype == DType::kI8) && t.shape.size() >= 2 && t.elements() >= kLeastElements;
}

// Follows plan_tensors: the last matching pattern decides, and options.tensors take precedence over options.keep.
bool is_coded(const TensorInfo& t, bool by_default, const CompressOptions& options) {
  const auto matches = [&](const std::string& glob) { return glob_match(glob, t.name); };
  bool coded = by_default && std::none_of(options.keep.begin(), options.keep.end(), matches);
  for (const auto& [glob, spec] : options.tensors) {
    if (matches(glob)) coded = spec != "keep";
  }
  return coded;
}

}  // namespace

std::unique_ptr<TensorFile> integers_as_reals(std::unique_ptr<TensorFile> file, const CompressOptions& options) {
  const std::vector<TensorInfo>& infos = file->tensors();
  const bool features = std::all_of(infos.begin(), infos.end(), is_feature_matrix);
  std::vector<bool> as_reals;
  for (const TensorInfo& t : infos) {
    as_reals.push_back(!is_float(t.dtype) && t.elements() > 0 && is_coded(t, features, options));
  }
  if (std::none_of(as_reals.begin(), as_reals.end(), [](bool b) { return b; })) return file;
  return std::make_unique<RealsView>(std::move(file), as_reals);
}

}  // namespace occ
