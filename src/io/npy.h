// npy files (NumPy format 1.0, 2.0, 3.0): "\x93NUMPY", version, header length, a Python dict {'descr', 'fortran_order',
// 'shape'}, data. Source: NumPy Enhancement Proposal 1 and numpy.lib.format. Differs: one array of plain little-endian
// numbers per file; structured, object, complex and big-endian arrays are refused; so are bytes after the array.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "io/sink.h"
#include "tensor/tensor_file.h"

namespace occ {

// What the header says.
struct NpyHeader {
  DType dtype = DType::kF32;
  bool fortran_order = false;
  std::vector<uint64_t> shape;
};
// `text` is the Python dict. Input error naming `what`.
NpyHeader parse_npy_header(std::string_view text, const std::string& what);
// Magic, version, length and dict: the header, and where the data begins. `start`: the file, or its first
// kMostNpyStart bytes. Input error naming `what`.
struct NpyStart {
  NpyHeader header;
  uint64_t data_offset = 0;
};
inline constexpr uint64_t kMostNpyStart = (uint64_t{1} << 20) + 12;
NpyStart parse_npy_start(ByteSpan start, const std::string& what);
// The array of this header; input error naming `what` unless its data has `data_bytes`.
TensorInfo npy_tensor(const NpyHeader& header, const std::string& name, uint64_t data_bytes, const std::string& what);
// Elements [first, first + count) in C order of data in Fortran order: one element gathered at a time.
void gather_fortran(const TensorInfo& tensor, const uint8_t* data, uint64_t first, uint64_t count, uint8_t* out);
// Magic, version 1.0, length and dict, padded with spaces so that data starts at a multiple of 64.
std::string format_npy_header(const NpyHeader& header);

// One tensor named after the file ("x" for x.npy). Arrays in Fortran order are transposed while they are read: memory
// mapped, one element gathered at a time.
class NpyFile final : public TensorFile {
 public:
  explicit NpyFile(const std::filesystem::path& path);

  std::string path() const override { return file_.path(); }
  std::string format() const override { return "npy"; }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override;
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override;
  uint64_t file_bytes() const override { return file_.size(); }

 private:
  const uint8_t* mapped() const { return map_->bytes().data() + data_offset_; }

  InputFile file_;
  std::vector<TensorInfo> tensors_;  // one
  uint64_t data_offset_ = 0;
  std::unique_ptr<MappedFile> map_;  // only for Fortran order
};

// One tensor of any dtype but BF16, in C order.
std::unique_ptr<TensorSink> make_npy_sink(const std::filesystem::path& path, const SinkOptions& options);

}  // namespace occ
