#include "io/vecs.h"

#include <algorithm>

#include "base/check.h"
#include "io/elements.h"
#include "io/json.h"

namespace occ {
namespace {

constexpr uint64_t kHeader = sizeof(int32_t);
constexpr int32_t kMaxDimension = 1 << 26;

class FvecsSink final : public TensorSink {
 public:
  FvecsSink(const std::filesystem::path& path, bool sync) : path_(path), file_(path, sync) {}

  void begin(std::vector<OutTensor> tensors) override {
    const std::string path = path_.string();
    if (tensors.size() != 1) {
      throw_usage("{}: fvecs holds one tensor, found {}: name one with --tensor", path, tensors.size());
    }
    const OutTensor& t = tensors[0];
    const std::optional<uint64_t> bytes = tensor_bytes(t.shape, t.dtype);
    if (!bytes) throw_usage("{}, tensor '{}': too large, shape {}", path, printable(t.name), shape_text(t.shape));
    cols_ = matrix_shape(t.shape).cols;
    if (*bytes == 0 || cols_ > kMaxDimension) {
      throw_usage("{}, tensor '{}': fvecs holds rows of 1 to {} values, found shape {}", path, printable(t.name),
                  kMaxDimension, shape_text(t.shape));
    }
    dtype_ = t.dtype;
    left_ = *bytes;
    row_.resize(cols_ * dtype_size(dtype_));
    out_.resize(1 + cols_);
    const auto header = static_cast<int32_t>(cols_);
    std::memcpy(out_.data(), &header, kHeader);
  }
  void write(const void* data, size_t bytes) override {
    OCC_CHECK(bytes <= left_);
    left_ -= bytes;
    const auto* p = static_cast<const uint8_t*>(data);
    while (bytes > 0) {
      const size_t n = std::min(bytes, row_.size() - filled_);
      std::memcpy(row_.data() + filled_, p, n);
      p += n;
      bytes -= n;
      filled_ += n;
      if (filled_ == row_.size()) put_row();
    }
  }
  void commit() override {
    OCC_CHECK(left_ == 0);
    file_.write(pending_);
    file_.commit();
  }

 private:
  void put_row() {
    constexpr size_t kPending = size_t{1} << 20;
    convert_to_f32(dtype_, row_.data(), out_.data() + 1, cols_);
    const auto* bytes = reinterpret_cast<const uint8_t*>(out_.data());
    pending_.insert(pending_.end(), bytes, bytes + out_.size() * sizeof(float));
    filled_ = 0;
    if (pending_.size() < kPending) return;
    file_.write(pending_);
    pending_.clear();
  }

  std::filesystem::path path_;
  OutputFile file_;
  DType dtype_ = DType::kF32;
  size_t cols_ = 0;
  uint64_t left_ = 0;
  Bytes row_;               // one row in the type of the tensor
  size_t filled_ = 0;       // the number of bytes of row_ that have come so far
  std::vector<float> out_;  // the bits of d, then one row as f32
  Bytes pending_;           // whole rows that are still to be written
};

}  // namespace

VecsFile::VecsFile(const std::filesystem::path& path) : file_(path) {
  const std::string& name = file_.path();
  const std::string extension = path.extension().string();
  TensorInfo info;
  info.name = printable(path.stem().string(), 255);
  if (extension == ".fvecs") {
    info.dtype = DType::kF32;
  } else if (extension == ".bvecs") {
    info.dtype = DType::kU8;
  } else if (extension == ".ivecs") {
    info.dtype = DType::kI32;
  } else {
    throw_input("{}: expected the extension .fvecs, .bvecs or .ivecs, found '{}'", name, printable(extension));
  }
  format_ = extension.substr(1);
  int32_t dimension = 0;
  file_.read(0, &dimension, kHeader);
  if (dimension < 1 || dimension > kMaxDimension) {
    throw_input("{}: expected rows of 1 to {} values, found {}", name, kMaxDimension, dimension);
  }
  cols_ = static_cast<uint64_t>(dimension);
  stride_ = kHeader + cols_ * dtype_size(info.dtype);
  if (file_.size() % stride_ != 0) {
    throw_input("{}: expected a multiple of {} bytes (rows of {} values), found {}", name, stride_, cols_,
                file_.size());
  }
  const uint64_t rows = file_.size() / stride_;
  info.shape = {rows, cols_};
  info.stored_bytes = file_.size();
  tensors_.push_back(std::move(info));
}

void VecsFile::check_dimension(uint64_t row, const uint8_t* header) const {
  int32_t dimension = 0;
  std::memcpy(&dimension, header, kHeader);
  if (dimension < 0 || static_cast<uint64_t>(dimension) != cols_) {
    throw_input("{}, row {}: expected {} values, found {}", file_.path(), row, cols_, dimension);
  }
}

// Calls take(done, bytes, n) for each piece of the range; `bytes` points to the n stored elements from first + done on.
// The file is read in panels of whole rows, or of parts of one row if a row is longer than a panel.
template <typename Take>
void VecsFile::for_each_run(uint64_t first, uint64_t count, const Take& take) const {
  alignas(64) uint8_t panel[kPanelBytes];
  const uint64_t size = dtype_size(tensors_[0].dtype);
  const uint64_t rows_per_panel = kPanelBytes / stride_;
  for (uint64_t done = 0; done < count;) {
    const uint64_t row = (first + done) / cols_;
    uint64_t col = (first + done) % cols_;
    if (rows_per_panel == 0) {
      file_.read(row * stride_, panel, kHeader);
      check_dimension(row, panel);
      for (uint64_t end = std::min(cols_, col + count - done); col < end;) {
        const uint64_t n = std::min(end - col, kPanelBytes / size);
        file_.read(row * stride_ + kHeader + col * size, panel, n * size);
        take(done, panel, n);
        done += n;
        col += n;
      }
      continue;
    }
    const uint64_t rows = std::min(rows_per_panel, (col + (count - done) - 1) / cols_ + 1);
    file_.read(row * stride_, panel, rows * stride_);
    for (uint64_t r = 0; r < rows; ++r) {
      const uint8_t* from = panel + r * stride_;
      check_dimension(row + r, from);
      const uint64_t n = std::min(cols_ - col, count - done);
      take(done, from + kHeader + col * size, n);
      done += n;
      col = 0;
    }
  }
}

void VecsFile::read_f32(size_t i, uint64_t first, uint64_t count, float* out) const {
  check_range(tensors_[i], first, count);
  const DType dtype = tensors_[i].dtype;
  for_each_run(first, count,
               [&](uint64_t done, const uint8_t* bytes, uint64_t n) { convert_to_f32(dtype, bytes, out + done, n); });
}

void VecsFile::read_raw(size_t i, uint64_t first, uint64_t count, void* out) const {
  check_range(tensors_[i], first, count);
  const uint64_t size = dtype_size(tensors_[i].dtype);
  for_each_run(first, count, [&](uint64_t done, const uint8_t* bytes, uint64_t n) {
    std::memcpy(static_cast<uint8_t*>(out) + done * size, bytes, n * size);
  });
}

std::unique_ptr<TensorSink> make_fvecs_sink(const std::filesystem::path& path, const SinkOptions& options) {
  return std::make_unique<FvecsSink>(path, options.sync);
}

}  // namespace occ
