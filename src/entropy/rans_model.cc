// The side information of `rans` (docs/reference/format.md): the split, the ids of lines and positions, and the tables.
// Everything is checked when it is read, so that no file can make the coder read or write out of bounds.
#include "entropy/rans_model.h"

#include <algorithm>

#include "base/error.h"
#include "base/range_coder.h"
#include "entropy/rans_side_code.h"

namespace occ {
namespace {

void check_machine(const SymbolPlane& plane) {
  if (plane.contexts == nullptr) return;
  const FiniteState& m = *plane.contexts;
  const auto below = [](uint32_t bound) { return [bound](uint16_t v) { return v < bound; }; };
  const bool sizes = m.num_states >= 1 && m.num_states <= 65535 && m.num_contexts >= 1 && m.num_contexts <= 256 &&
                     m.classes >= 1 && m.classes <= 65536 && (m.classes & (m.classes - 1)) == 0 &&
                     m.context.size() == m.num_states && m.next.size() == uint64_t{m.num_states} * m.classes &&
                     m.next.size() <= (size_t{1} << 28);
  if (!sizes || !std::all_of(m.next.begin(), m.next.end(), below(m.num_states)) ||
      !std::all_of(m.context.begin(), m.context.end(), below(m.num_contexts))) {
    throw_input("plane '{}': expected a valid finite-state context, found {} states, {} contexts, {} classes",
                plane.name, m.num_states, m.num_contexts, m.classes);
  }
}

// Flags in the byte that holds the shift. Files that are written now always have the second flag; older files do not.
constexpr uint8_t kCrossFlag = 0x80, kCodedFlag = 0x40;

size_t line_length(const SymbolPlane& plane) { return plane.lines == LineAxis::kRows ? plane.cols : plane.rows; }

std::vector<uint8_t> read_ids(size_t count, uint32_t num_ids, ByteReader& side) {
  const unsigned width = symbol_width(num_ids);
  const ByteSpan packed = side.get_bytes(packed_bytes(count, width));
  std::vector<Symbol> wide(count);
  unpack_symbols(packed.data(), packed.size(), width, 0, count, wide.data());
  return {wide.begin(), wide.end()};
}

void check_ids(std::span<const uint8_t> ids, uint64_t num_ids, const std::string& what) {
  for (const uint8_t id : ids) {
    if (id >= num_ids) throw_input("{}: rans: expected table ids below {}, found {}", what, num_ids, id);
  }
}

uint32_t read_num_cross(const RansModel& model, ByteReader& side) {
  const uint64_t num_cross = side.get_varint();
  if (!model.plane.table_ids.empty() || num_cross < 2 || num_cross > 256 ||
      (model.num_ids + num_cross - 1) * model.contexts > kRansMaxCells) {
    throw_input("{}: rans: expected 2 to 256 cross ids, none beside ids of the plane, and at most {} tables, found {}",
                side.what(), kRansMaxCells, num_cross);
  }
  return static_cast<uint32_t>(num_cross);
}

// Reads ids and tables that are stored as bit strings.
void load_plain(bool cross, ByteReader& side, RansModel* model) {
  const SymbolPlane& plane = model->plane;
  if (plane.table_ids.empty() && model->num_ids > 1) model->ids = read_ids(plane.num_lines(), model->num_ids, side);
  check_ids(model->ids, model->num_ids, side.what());
  if (cross) {
    model->num_cross = read_num_cross(*model, side);
    model->cross_ids = read_ids(line_length(plane), model->num_cross, side);
    check_ids(model->cross_ids, model->num_cross, side.what());
  }
  SideBits bits(side);
  const size_t cells = model->num_tables() * model->contexts;
  model->tables.reserve(cells);
  for (size_t cell = 0; cell < cells; ++cell) {
    const bool repeated = bits.get(1) != 0;
    if (repeated && cell == 0) {
      throw_input("{}: rans: expected a first table, found a repetition of none", side.what());
    }
    model->tables.push_back(repeated ? model->tables.back() : RansTable::read(bits, model->split));
  }
}

// Reads ids and tables that are stored as range-coded integers.
void load_coded(bool cross, ByteReader& side, RansModel* model) {
  const SymbolPlane& plane = model->plane;
  if (cross) model->num_cross = read_num_cross(*model, side);
  for (uint32_t context = 0; context < model->contexts; ++context) {
    const uint64_t mirror = side.get_varint();
    if (mirror > 2 * kRansWindow) {
      throw_input("{}: rans: expected a mirror of at most {}, found {}", side.what(), 2 * kRansWindow, mirror);
    }
    model->mirrors.push_back(static_cast<uint32_t>(mirror));
  }
  RangeDecoder coded(side);
  if (plane.table_ids.empty() && model->num_ids > 1) model->ids = get_ids(plane.num_lines(), model->num_ids, coded);
  check_ids(model->ids, model->num_ids, coded.what());
  if (cross) model->cross_ids = get_ids(line_length(plane), model->num_cross, coded);
  check_ids(model->cross_ids, model->num_cross, coded.what());
  model->tables = get_tables(model->num_tables() * model->contexts, model->mirrors, model->split, coded);
  coded.expect_done();
}

}  // namespace

RansModel load_rans_model(const SymbolPlane& plane, ByteReader& side) {
  if (plane.alphabet < 1 || plane.alphabet > 65536) {
    throw_input("plane '{}': expected an alphabet of 1 to 65536, found {}", plane.name, plane.alphabet);
  }
  if (!plane.table_ids.empty() && plane.table_ids.size() != plane.num_lines()) {
    throw_input("plane '{}': expected {} table ids, found {}", plane.name, plane.num_lines(), plane.table_ids.size());
  }
  check_machine(plane);
  RansModel model;
  model.plane = plane;
  model.contexts = plane.contexts != nullptr ? plane.contexts->num_contexts : 1;
  model.split.alphabet = plane.alphabet;
  if (plane.alphabet == 1) return model;

  const uint8_t first = side.get<uint8_t>();
  const bool cross = (first & kCrossFlag) != 0;
  const uint32_t shift = first & (kCodedFlag - 1);
  if (shift > 8) throw_input("{}: rans split: expected a shift of 0 to 8, found {}", side.what(), shift);
  model.split.shift = shift;
  const uint64_t offset = side.get_varint();
  const uint64_t tokens = model.split.tokens();
  if (offset >= tokens || (offset != 0 && offset + kRansWindow > tokens)) {
    throw_input("{}: rans split: expected a window of {} tokens below {}, found offset {}", side.what(), kRansWindow,
                tokens, offset);
  }
  model.split.offset = static_cast<uint32_t>(offset);

  const uint64_t num_ids = side.get_varint();
  if (num_ids < 1 || num_ids > 256 || num_ids * model.contexts > kRansMaxCells) {
    throw_input("{}: rans: expected 1 to 256 table ids and at most {} tables, found {} ids of {} contexts", side.what(),
                kRansMaxCells, num_ids, model.contexts);
  }
  model.num_ids = static_cast<uint32_t>(num_ids);
  model.ids = plane.table_ids;
  (first & kCodedFlag) != 0 ? load_coded(cross, side, &model) : load_plain(cross, side, &model);
  return model;
}

void save_rans_model(const RansModel& model, ByteWriter& out) {
  if (model.plane.alphabet == 1) return;
  out.put(static_cast<uint8_t>(model.split.shift | kCodedFlag | (model.num_cross > 1 ? kCrossFlag : 0)));
  out.put_varint(model.split.offset);
  out.put_varint(model.num_ids);
  if (model.num_cross > 1) out.put_varint(model.num_cross);
  std::vector<uint32_t> mirrors = model.mirrors;
  mirrors.resize(model.contexts);
  for (const uint32_t mirror : mirrors) out.put_varint(mirror);
  RangeEncoder coded;
  if (model.plane.table_ids.empty() && model.num_ids > 1) put_ids(model.ids, model.num_ids, coded);
  if (model.num_cross > 1) put_ids(model.cross_ids, model.num_cross, coded);
  put_tables(model.tables, mirrors, model.split.window(), coded);
  out.put_bytes(coded.take());
}

}  // namespace occ
