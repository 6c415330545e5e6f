// The coder `bitpack`: every symbol takes symbol_width(alphabet) bits, 1 to 16. The symbols of a tile follow each other
// in row-major order, lowest bit first, and zeros fill the last byte. There are no tables and no side information.
#include "base/check.h"
#include "entropy/bits.h"
#include "entropy/coders.h"
#include "entropy/tile.h"

namespace occ {
namespace {

class Bitpack final : public EntropyCoder {
 public:
  explicit Bitpack(const SymbolPlane& plane) : plane_(plane), width_(symbol_width(plane.alphabet)) {}

  Bytes encode(const Rect& at, MatrixView<const Symbol> symbols) const override {
    check_tile(plane_, at, symbols.shape());
    Bytes out(packed_bytes(symbols.size(), width_));
    for_each_run(symbols, [&](const Symbol* run, size_t first, size_t count) {
      OCC_CHECK(greatest_symbol(run, count) < plane_.alphabet);
      pack_symbols(run, count, width_, out.data() + packed_bytes(first, width_));
    });
    return out;
  }

  void decode(const Rect& at, ByteSpan bytes, MatrixView<Symbol> symbols) const override {
    check_tile(plane_, at, symbols.shape());
    const uint64_t expected = packed_bytes(symbols.size(), width_);
    if (bytes.size() != expected) {
      throw_input("{}: expected {} bytes of packed symbols, found {}", tile_name(plane_, at), expected, bytes.size());
    }
    Symbol greatest = 0;
    for_each_run(symbols, [&](Symbol* run, size_t first, size_t count) {
      greatest = std::max(greatest, unpack_symbols(bytes.data(), bytes.size(), width_, first, count, run));
    });
    if (greatest >= plane_.alphabet) {
      throw_input("{}: expected packed symbols below {}, found {}", tile_name(plane_, at), plane_.alphabet, greatest);
    }
  }

  void save(ByteWriter&) const override {}

 private:
  SymbolPlane plane_;
  unsigned width_;
};

std::unique_ptr<EntropyCoder> fit(const Params&, const SymbolPlane& plane, MatrixView<const Symbol>,
                                  const FitContext&) {
  return std::make_unique<Bitpack>(plane);
}

std::unique_ptr<EntropyCoder> load(const Params&, const SymbolPlane& plane, ByteReader&) {
  return std::make_unique<Bitpack>(plane);
}

uint64_t fixed_bytes(const Params&, const SymbolPlane& plane, size_t rows) {
  return packed_bytes(uint64_t{rows} * plane.cols, symbol_width(plane.alphabet));
}

}  // namespace

CoderEntry bitpack_coder() {
  return {.name = "bitpack",
          .summary = "fixed width: as many bits per symbol as the alphabet needs",
          .params = {},
          .fit = fit,
          .load = load,
          .fixed_bytes = fixed_bytes};
}

}  // namespace occ
