#include "container/values_hash.h"

#include <algorithm>

#include "base/check.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "container/index.h"
#include "tensor/row_source.h"

namespace occ {

std::optional<uint64_t> ValuesHash::add(size_t row, MatrixView<const float> values) {
  OCC_CHECK(values.cols() == shape_.cols && row <= shape_.rows && values.rows() <= shape_.rows - row);
  OCC_CHECK(values.contiguous());
  {
    const std::lock_guard lock(mutex_);
    if (whole_) return whole_;
  }
  const size_t step = chunk_rows(shape_.cols);
  for (size_t at = 0; at < values.rows();) {
    const size_t chunk = (row + at) / step, begin = chunk * step;
    const size_t rows = std::min(step, shape_.rows - begin);
    const MatrixView<const float> piece = values.row_range(at, std::min(values.rows() - at, begin + rows - (row + at)));
    if (piece.rows() == rows) {
      finish(chunk, hash64(piece.data(), piece.size() * sizeof(float)));
    } else {
      add_part(chunk, row + at - begin, rows, piece);
    }
    at += piece.rows();
  }
  const std::lock_guard lock(mutex_);
  return whole_;
}

void ValuesHash::add_part(size_t chunk, size_t first, size_t rows, MatrixView<const float> values) {
  std::vector<float> complete;
  {
    const std::lock_guard lock(mutex_);
    if (whole_ || hashes_.contains(chunk) || (!parts_.contains(chunk) && parts_.size() >= most_parts_)) return;
    Part& part = parts_[chunk];
    if (part.there.empty()) part = {std::vector<float>(rows * shape_.cols), std::vector<bool>(rows), rows};
    for (size_t r = 0; r < values.rows(); ++r) {
      if (part.there[first + r]) continue;
      part.there[first + r] = true;
      --part.missing;
      std::copy_n(values.row(r), shape_.cols, part.values.data() + (first + r) * shape_.cols);
    }
    if (part.missing != 0) return;
    complete = std::move(part.values);
    parts_.erase(chunk);
  }
  finish(chunk, hash64(complete.data(), complete.size() * sizeof(float)));
}

void ValuesHash::finish(size_t chunk, uint64_t hash) {
  const std::lock_guard lock(mutex_);
  if (whole_) return;
  hashes_[chunk] = hash;
  parts_.erase(chunk);
  if (hashes_.size() != ceil_div(shape_.rows, chunk_rows(shape_.cols))) return;
  std::vector<uint64_t> in_order;
  for (const auto& [number, value] : hashes_) in_order.push_back(value);
  whole_ = hash_of_chunks(in_order);
  hashes_.clear();
}

}  // namespace occ
