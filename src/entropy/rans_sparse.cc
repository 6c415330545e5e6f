#include "entropy/rans_sparse.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace occ {
namespace {

// Returns the symbol that fills most of a nearly constant tile, by a majority vote (Boyer and Moore) among up to 63
// samples.
Symbol likely_majority(MatrixView<const Symbol> symbols) {
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

}  // namespace

Bytes encode_sparse(MatrixView<const Symbol> symbols, uint8_t mode, size_t symbol_bytes) {
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

void decode_sparse(ByteSpan body, const std::string& what, uint32_t alphabet, size_t symbol_bytes,
                   MatrixView<Symbol> symbols) {
  ByteReader in(body, what);
  const auto get_symbol = [&] {
    Symbol s = 0;
    std::memcpy(&s, in.get_bytes(symbol_bytes).data(), symbol_bytes);
    if (s >= alphabet) {
      throw_input("{}: expected symbols below {}, found {}", in.what(), alphabet, s);
    }
    return s;
  };
  const Symbol common = get_symbol();
  for (size_t r = 0; r < symbols.rows(); ++r) std::fill_n(symbols.row(r), symbols.cols(), common);
  for (uint64_t next = 0; !in.done(); ++next) {
    const uint64_t gap = in.get_varint();
    if (gap >= symbols.size() - next) {
      throw_input("{}: expected exceptions among {} symbols, found one beyond", in.what(), symbols.size());
    }
    next += gap;
    symbols(next / symbols.cols(), next % symbols.cols()) = get_symbol();
  }
}

}  // namespace occ
