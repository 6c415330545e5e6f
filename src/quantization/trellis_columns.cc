#include "quantization/trellis_columns.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/range_coder.h"
#include "tensor/octave_scales.h"

namespace occ {
namespace {

constexpr int kCodesPerOctave = 16;
constexpr int kMostCode = 255;
constexpr uint8_t kNone = 0, kBytes = 1, kCoded = 2;  // ways to store the codes; kBytes occurs only in older files

// If codes are s octaves apart, rounding the factors costs .058 s^2 bits per weight, and each column takes log2(1 / s)
// bits more. s^2 = 12.5 / rows is the best choice (see also the stage rowscale).
int spacing_for(size_t rows) { return rows < 400 ? 4 : rows < 1600 ? 2 : 1; }

}  // namespace

float column_factor(float base, uint8_t code) {
  const int c = int{code} - kUnitColumnCode + 8 * kCodesPerOctave;  // not negative
  const auto fraction = static_cast<size_t>(c % kCodesPerOctave * (kOctaveCodes / kCodesPerOctave));
  return std::ldexp(base * kOctaveFractions[fraction], c / kCodesPerOctave - 8);
}

std::vector<uint8_t> choose_column_codes(std::span<const double> octaves, size_t rows, float base, double least) {
  const int spacing = spacing_for(rows);
  const auto bound = [&](double factor) {  // returns the first code whose factor is not below this one
    const double code = kUnitColumnCode + std::ceil(kCodesPerOctave * std::log2(factor / static_cast<double>(base)));
    return static_cast<int>(std::clamp(code, 0.0, double{kMostCode}));
  };
  const int lowest = least > 0 ? bound(least) : 0, highest = bound(kLargestColumnFactor) - 1;
  std::vector<uint8_t> codes;
  for (const double o : octaves) {
    const double steps = std::clamp(kCodesPerOctave * o, -256.0, 256.0) / spacing;
    int code = kUnitColumnCode + spacing * static_cast<int>(std::lrint(steps));
    while (code < lowest) code += spacing;
    while (code > highest) code -= spacing;
    codes.push_back(static_cast<uint8_t>(code));
  }
  return codes;
}

void save_column_codes(std::span<const uint8_t> codes, size_t rows, ByteWriter& out) {
  out.put(codes.empty() ? kNone : kCoded);
  if (codes.empty()) return;
  const int spacing = spacing_for(rows);
  out.put(static_cast<uint8_t>(spacing));
  std::vector<int32_t> steps;
  for (const uint8_t code : codes) steps.push_back((code - kUnitColumnCode) / spacing);
  RangeEncoder coded;
  put_integers(steps, coded);
  out.put_bytes(coded.take());
}

std::vector<uint8_t> load_column_codes(size_t cols, ByteReader& side) {
  const auto form = side.get<uint8_t>();
  if (form > kCoded) throw_input("{}: expected 0 to 2 before the column steps, found {}", side.what(), form);
  if (form == kNone) return {};
  if (form == kBytes) {
    const ByteSpan bytes = side.get_bytes(cols);
    return {bytes.begin(), bytes.end()};
  }
  const int spacing = side.get<uint8_t>();
  if (spacing < 1) throw_input("{}: expected column steps that are at least 1 apart, found 0", side.what());
  RangeDecoder coded(side);
  coded.expect_room_for(cols);
  std::vector<int32_t> steps(cols);
  get_integers(steps, coded);
  coded.expect_done();
  std::vector<uint8_t> codes;
  for (const int32_t s : steps) {
    const int code = kUnitColumnCode + s * spacing;
    if (code < 0 || code > kMostCode) {
      throw_input("{}: expected column steps from 0 to {}, found {}", side.what(), kMostCode, code);
    }
    codes.push_back(static_cast<uint8_t>(code));
  }
  return codes;
}

}  // namespace occ
