#include "compress/coded_view.h"

#include <algorithm>

#include "base/parallel.h"
#include "tensor/dtype.h"

namespace occ {

// Readers read one tensor after the other in panels, so the last decoded tensor is kept.
std::shared_ptr<const Matrix<float>> CodedView::decoded(size_t i) const {
  const std::lock_guard lock(mutex_);
  if (recent_ != i) {
    values_.reset();
    run_isolated([&] { values_ = std::make_shared<const Matrix<float>>(decode_(i)); });
    recent_ = i;
  }
  return values_;
}

void CodedView::read_f32(size_t i, uint64_t first, uint64_t count, float* out) const {
  const std::shared_ptr<const Matrix<float>> values = decoded(i);
  if (values->size() == 0) return source_.read_f32(i, first, count, out);
  std::copy_n(values->data() + first, count, out);
}

void CodedView::read_raw(size_t i, uint64_t first, uint64_t count, void* out) const {
  if (decoded(i)->size() == 0) return source_.read_raw(i, first, count, out);
  std::vector<float> values(count);
  read_f32(i, first, count, values.data());
  convert_from_f32(tensors()[i].dtype, values.data(), out, count);
}

}  // namespace occ
