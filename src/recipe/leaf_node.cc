#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "base/parallel.h"
#include "recipe/nodes.h"

namespace occ {
namespace {

size_t num_tiles(const SymbolPlane& plane, size_t rows_per_tile) {
  return plane.rows == 0 || plane.cols == 0 ? 0 : ceil_div(plane.rows, rows_per_tile);
}

Rect tile_rect(const SymbolPlane& plane, size_t rows_per_tile, size_t tile) {
  const size_t row = tile * rows_per_tile;
  return {row, 0, std::min(rows_per_tile, plane.rows - row), plane.cols};
}

}  // namespace

LeafNode::LeafNode(Shape shape, const Chain& chain, std::unique_ptr<Quantizer> quantizer)
    : shape_(shape), quantizer_(std::move(quantizer)) {
  const size_t at = num_transforms(chain);
  stage_name_ = chain.stages[at].name;
  std::vector<SymbolPlane> planes = quantizer_->planes();
  for (size_t i = 0; i < planes.size(); ++i) {
    PlaneCode code;
    code.plane = std::move(planes[i]);
    code.coder_stage = chain.branches.empty() ? chain.stages[at + 1] : chain.branches[i].recipe.terms[0].stages[0];
    code.entry = find_coder(code.coder_stage.name);
    OCC_CHECK(code.entry != nullptr);
    codes_.push_back(std::move(code));
  }
}

void LeafNode::allocate_symbols() {
  for (PlaneCode& c : codes_) c.symbols = Matrix<Symbol>::uninitialized(c.plane.rows, c.plane.cols);
}

size_t LeafNode::tile_rows() const {
  size_t rows = 1;
  for (const PlaneCode& c : codes_) rows = std::max(rows, c.tile_rows != 0 ? c.tile_rows : occ::tile_rows(c.plane));
  return rows;
}

void LeafNode::quantize(const Rect& at, MatrixView<float> values) {
  std::vector<MatrixView<Symbol>> views;
  for (size_t i = 0; i < codes_.size(); ++i) {
    views.push_back(codes_[i].symbols.view().sub(quantizer_->plane_rect(i, at)));
  }
  quantizer_->quantize(at, values, views);
}

void LeafNode::code(const FitContext& ctx, const std::string& path, std::vector<CodedPlane>* planes) {
  ByteWriter side;
  quantizer_->save(side);
  planes->push_back({join_path(path, stage_name_), side.take(), quantizer_->side_grows()});
  for (PlaneCode& c : codes_) {
    c.coder = c.entry->fit(c.coder_stage.params, c.plane, c.symbols.view(), ctx);
    ByteWriter tables;
    c.coder->save(tables);
    planes->push_back({join_path(path, c.plane.name + "." + c.coder_stage.name), tables.take()});

    const size_t rows_per_tile = occ::tile_rows(c.plane);
    std::vector<Bytes> tiles(num_tiles(c.plane, rows_per_tile));
    parallel_for(tiles.size(), [&](size_t t) {
      const Rect at = tile_rect(c.plane, rows_per_tile, t);
      tiles[t] = c.coder->encode(at, c.symbols.view().sub(at));
    });
    c.symbols = Matrix<Symbol>();
    ByteWriter payload;
    payload.put_varint(rows_per_tile);
    for (const Bytes& tile : tiles) payload.put_varint(tile.size());
    for (Bytes& tile : tiles) {
      payload.put_bytes(tile);
      tile = Bytes();
    }
    planes->push_back({join_path(path, c.plane.name), payload.take(), true});
  }
}

void LeafNode::load_planes(PlaneReader& planes) {
  for (PlaneCode& c : codes_) {
    ByteReader tables = planes.next(c.plane.name + "." + c.coder_stage.name);
    c.coder = c.entry->load(c.coder_stage.params, c.plane, tables);
    tables.expect_done();
    ByteReader payload = planes.next(c.plane.name);
    const uint64_t rows_per_tile = payload.get_varint();
    if (rows_per_tile == 0) throw_input("{}: expected rows per tile, found 0", payload.what());
    // A limit, because otherwise a few bytes in a file could ask for any amount of memory.
    const size_t most = 4 * occ::tile_rows(c.plane);
    if (rows_per_tile > most) {
      throw_input("{}: expected at most {} rows per tile, found {}", payload.what(), most, rows_per_tile);
    }
    // The paths of a trellis quantizer begin at the beginning of each tile, so the number of rows in a tile is fixed.
    if (c.plane.contexts != nullptr && rows_per_tile != occ::tile_rows(c.plane)) {
      throw_input("{}: expected {} rows per tile, found {}", payload.what(), occ::tile_rows(c.plane), rows_per_tile);
    }
    c.tile_rows = std::min(rows_per_tile, std::max<uint64_t>(c.plane.rows, 1));
    const size_t count = num_tiles(c.plane, c.tile_rows);
    if (count > payload.remaining()) {
      throw_input("{}: expected {} tiles, found {} bytes", payload.what(), count, payload.remaining());
    }
    std::vector<uint64_t> sizes(count);
    for (uint64_t& size : sizes) size = payload.get_varint();
    for (const uint64_t size : sizes) c.tiles.push_back(payload.get_bytes(size));
    payload.expect_done();
  }
}

void LeafNode::dequantize(const Rect& at, MatrixView<float> out) const {
  with_symbols(at,
               [&](std::span<const MatrixView<const Symbol>> symbols) { quantizer_->dequantize(at, symbols, out); });
}

void LeafNode::parts(const Rect& at, MatrixView<float> out) const {
  with_symbols(at, [&](std::span<const MatrixView<const Symbol>> symbols) { quantizer_->parts(at, symbols, out); });
}

void LeafNode::integers(const Rect& at, MatrixView<int32_t> out) const {
  with_symbols(at, [&](std::span<const MatrixView<const Symbol>> symbols) { quantizer_->integers(at, symbols, out); });
}

void LeafNode::symbols_by_rows(const Rect& at, size_t rows, const SymbolsBody& body) const {
  const PlaneCode& c = codes_[0];
  OCC_CHECK(codes_.size() == 1 && c.plane.shape() == shape_ && at.row % c.tile_rows == 0 && at.cols == shape_.cols);
  for (size_t row = at.row; row < at.row + at.rows; row += c.tile_rows) {
    const Rect tile = tile_rect(c.plane, c.tile_rows, row / c.tile_rows);
    OCC_CHECK(tile.row + tile.rows <= at.row + at.rows);
    c.coder->decode_by_rows(tile, c.tiles[row / c.tile_rows], rows,
                            [&](size_t first, MatrixView<const Symbol> symbols) { body(row + first, symbols); });
  }
}

void LeafNode::with_symbols(const Rect& at, const CodesBody& body) const {
  std::vector<Matrix<Symbol>> buffers;
  std::vector<MatrixView<const Symbol>> views;
  for (size_t i = 0; i < codes_.size(); ++i) {
    const PlaneCode& c = codes_[i];
    const Rect rect = quantizer_->plane_rect(i, at);
    if (rect.rows == 0 || rect.cols == 0) {
      views.emplace_back(nullptr, rect.rows, rect.cols);
      continue;
    }
    const size_t first = rect.row / c.tile_rows;
    const size_t last = (rect.row + rect.rows - 1) / c.tile_rows;
    const size_t row0 = first * c.tile_rows;
    const size_t rows = std::min((last + 1) * c.tile_rows, c.plane.rows) - row0;
    Matrix<Symbol> buffer = Matrix<Symbol>::uninitialized(rows, c.plane.cols);
    parallel_for(last - first + 1, [&](size_t t) {
      const Rect tile = tile_rect(c.plane, c.tile_rows, first + t);
      c.coder->decode(tile, c.tiles[first + t], buffer.view().row_range(tile.row - row0, tile.rows));
    });
    views.push_back(MatrixView<const Symbol>(buffer.view()).sub({rect.row - row0, rect.col, rect.rows, rect.cols}));
    buffers.push_back(std::move(buffer));
  }
  body(views);
}

}  // namespace occ
