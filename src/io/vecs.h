// Reader of fvecs, bvecs and ivecs files and writer of fvecs files. A file consists of rows; each is the number of its
// values d (int32) and d values (f32 in fvecs, u8 in bvecs, i32 in ivecs), all little-endian. Every row must have the
// same d. Source: TEXMEX corpus, http://corpus-texmex.irisa.fr.
#pragma once

#include <memory>
#include <vector>

#include "base/file.h"
#include "io/sink.h"
#include "tensor/tensor_file.h"

namespace occ {

// A file with one tensor [n, d], which is named after the file ("base" for base.fvecs). The extension gives the element
// type. Input error unless the size of the file is a multiple of the size of its first row. The d of every other row is
// checked when the row is read.
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
  std::vector<TensorInfo> tensors_;  // exactly one
  uint64_t cols_ = 0;
  uint64_t stride_ = 0;  // the bytes of a row, its d included
};

// Writes an fvecs file of one tensor with at least one element, as the matrix that matrix_shape gives for it. Elements
// of other types are converted to f32. begin() throws a usage error for other tensors.
std::unique_ptr<TensorSink> make_fvecs_sink(const std::filesystem::path& path, const SinkOptions& options);

}  // namespace occ
