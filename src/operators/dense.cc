// Operators y = W x with W [out, in] in RAM, row-major, as f32, f16 or bf16. Products and sums are in f32
// (dense_kernels.h).
#include "operators/dense.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/parallel.h"
#include "operators/dense_kernels.h"

namespace occ {
namespace {

// to(c, row + r) = from(r, c), by blocks, so that cache lines are used whole.
template <typename T>
void put_transposed(MatrixView<const T> from, size_t row, MatrixView<T> to) {
  constexpr size_t kBlock = 16;
  for (size_t c0 = 0; c0 < from.cols(); c0 += kBlock) {
    for (size_t r0 = 0; r0 < from.rows(); r0 += kBlock) {
      for (size_t c = c0; c < std::min(from.cols(), c0 + kBlock); ++c) {
        for (size_t r = r0; r < std::min(from.rows(), r0 + kBlock); ++r) to(c, row + r) = from(r, c);
      }
    }
  }
}

// T holds the bits of an element.
template <typename T>
class DenseOperator final : public Operator {
 public:
  DenseOperator(DType type, Matrix<T> values) : type_(type), values_(std::move(values)) {}

  Shape shape() const override { return values_.shape(); }
  void apply(MatrixView<const float> x, MatrixView<float> y) const override {
    dense_product({type_, values_.data(), values_.rows(), values_.cols()}, x, y);
  }
  void rows(std::span<const uint32_t> ids, MatrixView<float> out) const override {
    OCC_CHECK(out.rows() == ids.size() && out.cols() == values_.cols());
    for (size_t i = 0; i < ids.size(); ++i) {
      OCC_CHECK(ids[i] < values_.rows());
      convert_to_f32(type_, values_.row(ids[i]), out.row(i), values_.cols());
    }
  }
  uint64_t resident_bytes() const override { return values_.size() * sizeof(T); }
  std::string kind() const override { return type_ == DType::kF32 ? "f32" : type_ == DType::kF16 ? "f16" : "bf16"; }

 private:
  DType type_;
  Matrix<T> values_;
};

// read(row, view of the rows that begin there): in parallel.
template <typename T, typename Read>
std::unique_ptr<Operator> read_dense(DType type, Shape shape, size_t granularity, bool transposed, const Read& read) {
  Matrix<T> values =
      transposed ? Matrix<T>::uninitialized(shape.cols, shape.rows) : Matrix<T>::uninitialized(shape.rows, shape.cols);
  const size_t panel = ceil_div(chunk_rows(shape.cols), granularity) * granularity;
  parallel_for(ceil_div(shape.rows, panel), [&](size_t i) {
    const size_t row = i * panel, rows = std::min(panel, shape.rows - row);
    if (!transposed) return read(row, values.view().row_range(row, rows));
    Matrix<T> part = Matrix<T>::uninitialized(rows, shape.cols);
    read(row, part.view());
    put_transposed(MatrixView<const T>(part.view()), row, values.view());
  });
  return std::make_unique<DenseOperator<T>>(type, std::move(values));
}

}  // namespace

size_t decoding_rows(const BoundRecipe& recipe) {
  const size_t granule = recipe.granule().rows;
  if (granule == 0) return std::max<size_t>(1, recipe.shape().rows);
  return ceil_div(std::max<size_t>(1, recipe.tile_rows()), granule) * granule;
}

std::unique_ptr<Operator> make_dense(const BoundRecipe& recipe, bool transposed,
                                     const std::function<void(size_t, MatrixView<const float>)>& decoded) {
  return read_dense<float>(DType::kF32, recipe.shape(), decoding_rows(recipe), transposed,
                           [&](size_t row, MatrixView<float> out) {
                             recipe.dequantize({row, 0, out.rows(), out.cols()}, out);
                             decoded(row, out);
                           });
}

std::unique_ptr<Operator> make_dense(const TensorFile& file, size_t index, bool transposed) {
  const TensorInfo& info = file.tensors()[index];
  const TensorRows source(file, index);
  const Shape shape = source.shape();
  const size_t granularity = file.read_granularity(index);
  if (info.stored_type.empty() && (info.dtype == DType::kF16 || info.dtype == DType::kBF16)) {
    return read_dense<uint16_t>(info.dtype, shape, granularity, transposed, [&](size_t row, MatrixView<uint16_t> out) {
      file.read_raw(index, row * shape.cols, out.size(), out.data());
    });
  }
  return read_dense<float>(DType::kF32, shape, granularity, transposed,
                           [&](size_t row, MatrixView<float> out) { source.read_rows(row, out); });
}

}  // namespace occ
