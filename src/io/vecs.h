// fvecs, bvecs, ivecs: rows of an int32 dimension d followed by d values (f32, u8, i32), little-endian, every row with
// the same d. Source: TEXMEX corpus, http://corpus-texmex.irisa.fr.
#pragma once

#include <memory>
#include <vector>

#include "base/file.h"
#include "io/sink.h"
#include "tensor/tensor_file.h"

namespace occ {

// One tensor [n, d] named after the file ("base" for base.fvecs); the extension gives the type. The size must be a
// multiple of the first row's, each further row's dimension is checked when it is read.
class VecsFile final : public TensorFile {
 public:
  explicit VecsFile(const std::filesystem::path& path);

  std::string path() const override { return file_.path(); }
  std::string format() const override { return format_; }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override;
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override;
  uint64_t file_bytes() const override { return file_.size(); }

 private:
  template <typename Take>
  void for_each_run(uint64_t first, uint64_t count, const Take& take) const;
  void check_dimension(uint64_t row, const uint8_t* header) const;

  InputFile file_;
  std::string format_;
  std::vector<TensorInfo> tensors_;  // one
  uint64_t cols_ = 0;
  uint64_t stride_ = 0;  // bytes of a row with its header
};

// fvecs: one tensor as matrix_shape of its shape, at least one element; other dtypes are converted to f32.
std::unique_ptr<TensorSink> make_fvecs_sink(const std::filesystem::path& path, const SinkOptions& options);

}  // namespace occ
