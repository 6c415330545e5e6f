// Nearly constant tiles of the `rans` coder: one symbol with exceptions.
#pragma once

#include <algorithm>

#include "base/bytes.h"
#include "tensor/symbols.h"

namespace occ {

// The symbol that fills most of a nearly constant tile: a majority vote (Boyer and Moore) among up to 63 samples.
inline Symbol likely_majority(MatrixView<const Symbol> symbols) {
  const size_t samples = std::min<size_t>(symbols.size(), 63);
  Symbol candidate = 0;
  size_t votes = 0;
  for (size_t i = 0; i < samples; ++i) {
    const size_t at = symbols.size() / samples * i;
    const Symbol s = symbols(at / symbols.cols(), at % symbols.cols());
    if (votes == 0) candidate = s;
    votes += s == candidate ? 1 : static_cast<size_t>(-1);
  }
  return candidate;
}

// `mode`, the symbol and a list of the exceptions: gap and symbol. Empty where that gets long.
inline Bytes encode_sparse(MatrixView<const Symbol> symbols, uint8_t mode, size_t symbol_bytes) {
  constexpr size_t kLong = 192;
  ByteWriter out;
  out.put<uint8_t>(mode);
  const auto put_symbol = [&](Symbol s) { out.put_bytes({reinterpret_cast<const uint8_t*>(&s), symbol_bytes}); };
  const Symbol common = likely_majority(symbols);
  put_symbol(common);
  uint64_t gap = 0;
  for (size_t r = 0; r < symbols.rows(); ++r) {
    const Symbol* row = symbols.row(r);
    for (size_t c = 0; c < symbols.cols(); ++c) {
      if (row[c] == common) {
        ++gap;
        continue;
      }
      out.put_varint(gap);
      put_symbol(row[c]);
      if (out.size() > kLong) return {};
      gap = 0;
    }
  }
  return out.take();
}

}  // namespace occ
