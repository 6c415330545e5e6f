// Decodes corrupt packed tiles. The input is alphabet - 1 (u16), rows (u8), cols (u8) and then the tile.
#include <cstdlib>

#include "base/bytes.h"
#include "entropy/coder.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace occ;
  if (size < 4) return 0;
  SymbolPlane plane;
  plane.name = "fuzz";
  plane.alphabet = 1 + (data[0] | uint32_t{data[1]} << 8);
  plane.rows = data[2];
  plane.cols = data[3];
  Matrix<Symbol> symbols(plane.rows, plane.cols);
  const Rect at{0, 0, plane.rows, plane.cols};
  try {
    ByteReader side({}, "fuzz");
    const auto coder = find_coder("bitpack")->load(Params(), plane, side);
    coder->decode(at, {data + 4, size - 4}, symbols.view());
    for (size_t i = 0; i < symbols.size(); ++i) {
      if (symbols.data()[i] >= plane.alphabet) std::abort();
    }
    // Encoding the symbols again must give as many bytes as were decoded.
    const Bytes again = coder->encode(at, symbols.view());
    if (again.size() != size - 4) std::abort();
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kInput) std::abort();
  }
  return 0;
}
