// Shared by the coders: checks of tiles, loops over the symbols of a matrix in row-major order, and transposition.
#pragma once

#include <algorithm>
#include <string>
#include <type_traits>

#include "base/check.h"
#include "base/error.h"
#include "entropy/coder.h"

namespace occ {

// Checks that `at` is a tile of the plane and that `symbols` has its shape.
inline void check_tile(const SymbolPlane& plane, const Rect& at, Shape symbols) {
  OCC_CHECK(at.col == 0 && at.cols == plane.cols && at.row <= plane.rows && at.rows <= plane.rows - at.row);
  OCC_CHECK(symbols == at.shape());
}

// Returns the name of a tile for messages: "plane 'codes', rows 1024 to 2047".
inline std::string tile_name(const SymbolPlane& plane, const Rect& at) {
  return fmt::format("plane '{}', rows {} to {}", plane.name, at.row, at.row + at.rows - 1);
}

inline Symbol greatest_symbol(const Symbol* symbols, size_t count) {
  Symbol greatest = 0;
  for (size_t i = 0; i < count; ++i) greatest = std::max(greatest, symbols[i]);
  return greatest;
}

// Calls body(run, first, count) for all symbols in row-major order, where `run` points to `count` contiguous symbols,
// the first of which has the index `first`. Every run but the last has a multiple of 16 symbols. If rows do not follow
// each other in memory, the runs are parts of a buffer: const symbols are copied to it before the call, others are
// copied from it after the call.
template <typename T, typename Body>  // Symbol or const Symbol
void for_each_run(MatrixView<T> symbols, const Body& body) {
  if (symbols.size() == 0) return;
  if (symbols.contiguous()) return body(symbols.data(), size_t{0}, symbols.size());
  constexpr size_t kRun = 2048;
  constexpr bool kReads = std::is_const_v<T>;
  Symbol buffer[kRun];
  for (size_t first = 0; first < symbols.size(); first += kRun) {
    const size_t count = std::min(kRun, symbols.size() - first);
    if (!kReads) body(static_cast<T*>(buffer), first, count);
    for (size_t i = 0; i < count;) {
      T* const part = symbols.row((first + i) / symbols.cols()) + (first + i) % symbols.cols();
      const size_t n = std::min(count - i, symbols.cols() - (first + i) % symbols.cols());
      if constexpr (kReads) {
        std::copy_n(part, n, buffer + i);
      } else {
        std::copy_n(buffer + i, n, part);
      }
      i += n;
    }
    if (kReads) body(static_cast<T*>(buffer), first, count);
  }
}

// out := in^T, block by block. Each block is copied first, because rows that are a power of two bytes apart would evict
// each other from the cache.
inline void transpose(MatrixView<const Symbol> in, MatrixView<Symbol> out) {
  constexpr size_t kBlock = 16;
  Symbol block[kBlock][kBlock];
  for (size_t r0 = 0; r0 < in.rows(); r0 += kBlock) {
    const size_t rows = std::min(kBlock, in.rows() - r0);
    for (size_t c0 = 0; c0 < in.cols(); c0 += kBlock) {
      const size_t cols = std::min(kBlock, in.cols() - c0);
      for (size_t r = 0; r < rows; ++r) std::copy_n(in.row(r0 + r) + c0, cols, block[r]);
      for (size_t c = 0; c < cols; ++c) {
        Symbol* to = out.row(c0 + c) + r0;
        for (size_t r = 0; r < rows; ++r) to[r] = block[r][c];
      }
    }
  }
}

inline Matrix<Symbol> transposed(MatrixView<const Symbol> in) {
  Matrix<Symbol> out = Matrix<Symbol>::uninitialized(in.cols(), in.rows());
  transpose(in, out.view());
  return out;
}

}  // namespace occ
