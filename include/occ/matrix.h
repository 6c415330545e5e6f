// Dense row-major matrices: a view that never owns and an owner that is 64-byte aligned and only moves.
#pragma once

#include <cstddef>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

namespace occ {
// Size of a matrix.
struct Shape {
  size_t rows = 0;                                // number of rows
  size_t cols = 0;                                // number of columns
  size_t size() const { return rows * cols; }     // number of elements
  bool operator==(const Shape&) const = default;  // both are equal
};

// A rectangle of a matrix: rows [row, row + rows), columns [col, col + cols).
struct Rect {
  size_t row = 0;                                // the first row
  size_t col = 0;                                // the first column
  size_t rows = 0;                               // number of rows
  size_t cols = 0;                               // number of columns
  Shape shape() const { return {rows, cols}; }   // its size
  bool operator==(const Rect&) const = default;  // all four are equal
};

// Elements (r, c) at data[r * stride + c]; stride >= cols, in elements. T may be const.
template <typename T>
class MatrixView {
 public:
  MatrixView() = default;  // 0 x 0
  MatrixView(T* data, size_t rows, size_t cols, size_t stride)
      : data_(data), rows_(rows), cols_(cols), stride_(stride) {}  // rows are `stride` elements apart
  MatrixView(T* data, size_t rows, size_t cols) : MatrixView(data, rows, cols, cols) {}  // contiguous
  // A view of mutable elements is also a view of constant ones.
  template <typename U>
  requires(std::is_same_v<T, const U>) MatrixView(const MatrixView<U>& other)  // NOLINT(google-explicit-constructor)
      : MatrixView(other.data(), other.rows(), other.cols(), other.stride()) {}

  T* data() const { return data_; }                                   // element (0, 0)
  size_t rows() const { return rows_; }                               // number of rows
  size_t cols() const { return cols_; }                               // number of columns
  size_t stride() const { return stride_; }                           // from one row to the next, in elements
  size_t size() const { return rows_ * cols_; }                       // number of elements
  Shape shape() const { return {rows_, cols_}; }                      // rows and columns
  bool contiguous() const { return stride_ == cols_ || rows_ <= 1; }  // no gaps between rows

  T* row(size_t r) const { return data_ + r * stride_; }                      // cols() elements; r is not checked
  T& operator()(size_t r, size_t c) const { return data_[r * stride_ + c]; }  // r and c are not checked
  MatrixView sub(const Rect& at) const { return {data_ + at.row * stride_ + at.col, at.rows, at.cols, stride_}; }
  MatrixView row_range(size_t row, size_t count) const { return sub({row, 0, count, cols_}); }  // rows from `row` on

 private:
  T* data_ = nullptr;
  size_t rows_ = 0;
  size_t cols_ = 0;
  size_t stride_ = 0;
};

namespace internal {

// At least 64-byte aligned; throws std::bad_alloc.
void* allocate_matrix(size_t bytes);
void free_matrix(void* data) noexcept;

}  // namespace internal

// Owns rows x cols elements, contiguous, 64-byte aligned, zero-filled unless made with `uninitialized`.
template <typename T>
class Matrix {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Matrix() = default;                                                     // 0 x 0
  Matrix(size_t rows, size_t cols) : Matrix(uninitialized(rows, cols)) {  // zeros; std::bad_alloc without memory
    if (size() != 0) std::memset(static_cast<void*>(data_), 0, size() * sizeof(T));
  }
  static Matrix uninitialized(size_t rows, size_t cols) {  // values not set; std::bad_alloc without memory
    Matrix m;
    if (cols != 0 && rows > static_cast<size_t>(-1) / sizeof(T) / cols) throw std::bad_alloc();
    // Never null, so that empty views of empty matrices may be cut anywhere.
    const size_t bytes = rows * cols == 0 ? 64 : rows * cols * sizeof(T);
    m.data_ = static_cast<T*>(internal::allocate_matrix(bytes));
    m.rows_ = rows;
    m.cols_ = cols;
    return m;
  }
  Matrix(Matrix&& o) noexcept
      : data_(std::exchange(o.data_, nullptr)), rows_(std::exchange(o.rows_, 0)), cols_(std::exchange(o.cols_, 0)) {}
  Matrix& operator=(Matrix&& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(rows_, o.rows_);
    std::swap(cols_, o.cols_);
    return *this;
  }
  Matrix(const Matrix&) = delete;
  Matrix& operator=(const Matrix&) = delete;
  ~Matrix() { internal::free_matrix(data_); }

  T* data() { return data_; }                                                     // element (0, 0)
  const T* data() const { return data_; }                                         // element (0, 0)
  size_t rows() const { return rows_; }                                           // number of rows
  size_t cols() const { return cols_; }                                           // number of columns
  size_t size() const { return rows_ * cols_; }                                   // number of elements
  Shape shape() const { return {rows_, cols_}; }                                  // rows and columns
  T* row(size_t r) { return data_ + r * cols_; }                                  // cols() elements; r is not checked
  const T* row(size_t r) const { return data_ + r * cols_; }                      // cols() elements; r is not checked
  T& operator()(size_t r, size_t c) { return data_[r * cols_ + c]; }              // r and c are not checked
  const T& operator()(size_t r, size_t c) const { return data_[r * cols_ + c]; }  // r and c are not checked
  MatrixView<T> view() { return {data_, rows_, cols_, cols_}; }                   // all of it
  MatrixView<const T> view() const { return {data_, rows_, cols_, cols_}; }       // all of it
  Matrix clone() const {                                                          // a copy
    Matrix m = uninitialized(rows_, cols_);
    if (size() != 0) std::memcpy(static_cast<void*>(m.data_), data_, size() * sizeof(T));
    return m;
  }

 private:
  T* data_ = nullptr;
  size_t rows_ = 0;
  size_t cols_ = 0;
};

}  // namespace occ
