#include "operators/operator.h"

#include <algorithm>

#include "base/parallel.h"

namespace occ {
namespace {

// All values in RAM as f32.
class DenseOperator final : public Operator {
 public:
  DenseOperator(const TensorFile& file, size_t index, bool transposed) {
    const TensorRows source(file, index);
    Matrix<float> values = Matrix<float>::uninitialized(source.shape().rows, source.shape().cols);
    source.read_rows(0, values.view());
    if (transposed) {
      weight_ = Matrix<float>::uninitialized(values.cols(), values.rows());
      for (size_t r = 0; r < values.rows(); ++r) {
        for (size_t c = 0; c < values.cols(); ++c) weight_(c, r) = values(r, c);
      }
    } else {
      weight_ = std::move(values);
    }
  }
  Shape shape() const override { return weight_.shape(); }
  void apply(MatrixView<const float> x, MatrixView<float> y) const override {
    constexpr size_t kPanel = 64;
    parallel_for(ceil_div(weight_.rows(), kPanel), [&](size_t p) {
      for (size_t b = 0; b < x.rows(); ++b) {
        for (size_t r = p * kPanel; r < std::min(weight_.rows(), (p + 1) * kPanel); ++r) {
          float sum = 0;
          for (size_t c = 0; c < x.cols(); ++c) sum += weight_(r, c) * x(b, c);
          y(b, r) = sum;
        }
      }
    });
  }
  void rows(std::span<const uint32_t> ids, MatrixView<float> out) const override {
    for (size_t i = 0; i < ids.size(); ++i) std::copy_n(weight_.row(ids[i]), weight_.cols(), out.row(i));
  }
  uint64_t resident_bytes() const override { return weight_.size() * sizeof(float); }
  std::string kind() const override { return "f32"; }

 private:
  Matrix<float> weight_;
};

}  // namespace

std::unique_ptr<Operator> make_operator(const TensorFile& file, size_t index, const OperatorOptions& options) {
  return std::make_unique<DenseOperator>(file, index, options.transposed);
}

}  // namespace occ
