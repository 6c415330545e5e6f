// Reader and writer of npy files (NumPy format versions 1.0, 2.0 and 3.0). A file holds the bytes "\x93NUMPY", the
// version, the length of the header, the header, which is a Python dict with the keys 'descr', 'fortran_order' and
// 'shape', and the data. Source: NumPy Enhancement Proposal 1 and the documentation of numpy.lib.format. Only one array
// of little-endian numbers is accepted: structured, object, complex and big-endian arrays are refused, and so are bytes
// after the array.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/lazy.h"
#include "io/sink.h"
#include "tensor/tensor_file.h"

namespace occ {

// The contents of the header.
struct NpyHeader {
  DType dtype = DType::kF32;
  bool fortran_order = false;
  std::vector<uint64_t> shape;
};
// Parses the text of the Python dict. Input errors name `what`.
NpyHeader parse_npy_header(std::string_view text, const std::string& what);
// The parsed header of a file and the position of the first byte of its data.
struct NpyStart {
  NpyHeader header;
  uint64_t data_offset = 0;
};
// The most bytes that the magic bytes, the version, the length and the dict may take together.
inline constexpr uint64_t kMostNpyStart = (uint64_t{1} << 20) + 12;
// Parses the start of a file. `start` is the whole file or its first kMostNpyStart bytes. Input errors name `what`.
NpyStart parse_npy_start(ByteSpan start, const std::string& what);
// The tensor that this header describes. Input error that names `what` unless its data takes exactly `data_bytes`
// bytes.
TensorInfo npy_tensor(const NpyHeader& header, const std::string& name, uint64_t data_bytes, const std::string& what);
// Copies the elements [first, first + count) in C order (row-major) to `out` from data in Fortran order (column-major).
// `data` points to the first element of the tensor, which has at least one dimension.
void gather_fortran(const TensorInfo& tensor, const uint8_t* data, uint64_t first, uint64_t count, uint8_t* out);
// The bytes of a file before its data: magic bytes, version 1.0, length and dict, padded with spaces so that the data
// starts at a multiple of 64 bytes.
std::string format_npy_header(const NpyHeader& header);

// A file with one tensor, which is named after the file ("x" for x.npy). An array in Fortran order is brought into
// row-major order when its first values are read, and then held in memory.
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
  const Bytes& row_major() const;

  InputFile file_;
  std::vector<TensorInfo> tensors_;  // exactly one
  uint64_t data_offset_ = 0;
  bool reordered_ = false;  // an array in Fortran order whose bytes are in another order than ours
  Lazy<Bytes> row_major_;
};

// Writes one tensor in C order (row-major). begin() throws a usage error for more than one tensor and for BF16, which
// npy does not have.
std::unique_ptr<TensorSink> make_npy_sink(const std::filesystem::path& path, const SinkOptions& options);

}  // namespace occ
