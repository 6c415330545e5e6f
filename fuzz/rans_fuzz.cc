// Loads corrupt tables of the rANS coder and decodes corrupt tiles. The input is alphabet - 1 (u16), rows (u8), cols
// (u8), flags (u8), the size of the side information (u16), the side information, and the tile. Flag 1 sets lines along
// columns, 2 and 4 set state machines for the contexts, and 8 sets table ids.
#include <cstdlib>

#include "base/bytes.h"
#include "entropy/coder.h"
#include "entropy/planes_for_test.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace occ;
  static const auto kTrellis = trellis_machine();
  static const auto kWide = wide_machine();
  if (size < 7) return 0;
  const uint8_t flags = data[4];
  SymbolPlane plane = make_plane(data[2], data[3], 1 + (data[0] | uint32_t{data[1]} << 8),
                                 (flags & 1) != 0 ? LineAxis::kColumns : LineAxis::kRows);
  if ((flags & 2) != 0) plane.contexts = kTrellis;
  if ((flags & 4) != 0) plane.contexts = kWide;
  if ((flags & 8) != 0) {
    for (size_t i = 0; i < plane.num_lines(); ++i) plane.table_ids.push_back(static_cast<uint8_t>(i * 7 % 3));
  }
  const size_t side_size = std::min<size_t>(data[5] | size_t{data[6]} << 8, size - 7);
  Matrix<Symbol> symbols(plane.rows, plane.cols);
  const Rect at{0, 0, plane.rows, plane.cols};
  const CoderEntry& entry = *find_coder("rans");
  try {
    ByteReader side({data + 7, side_size}, "fuzz");
    const auto coder = entry.load(Params(entry.params), plane, side);
    try {
      coder->decode(at, {data + 7 + side_size, size - 7 - side_size}, symbols.view());
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::kInput) std::abort();
      for (size_t i = 0; i < symbols.size(); ++i) {
        symbols.data()[i] = static_cast<Symbol>(random_word(size, i) % plane.alphabet);
      }
    }
    for (size_t i = 0; i < symbols.size(); ++i) {
      if (symbols.data()[i] >= plane.alphabet) std::abort();
    }
    // Tables that were loaded must be able to code any symbols.
    const Bytes bytes = coder->encode(at, symbols.view());
    Matrix<Symbol> again(plane.rows, plane.cols);
    coder->decode(at, bytes, again.view());
    for (size_t i = 0; i < symbols.size(); ++i) {
      if (symbols.data()[i] != again.data()[i]) std::abort();
    }
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kInput) std::abort();
  }
  return 0;
}
