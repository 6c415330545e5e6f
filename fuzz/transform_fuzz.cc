// Loads the side information of any transform. The bytes of the input are the number of the stage, rows, columns, one
// byte for every parameter (an index into a few values), and then the side information. Loading must throw occ::Error
// or give a transform whose inverse runs without errors on planes of ordinary floats and of arbitrary bit patterns.
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "base/rng.h"
#include "transforms/transform.h"

namespace {

using occ::Matrix;
using occ::MatrixView;

std::string choose(const occ::ParamSpec& spec, uint8_t byte) {
  if (spec.type == occ::ParamSpec::Type::kChoice) {
    std::vector<std::string> choices(1);
    for (const char c : spec.choices) {
      if (c == '|')
        choices.emplace_back();
      else
        choices.back() += c;
    }
    return choices[byte % choices.size()];
  }
  constexpr std::array kNumbers = {"0", "1", "2", "3", "7", "16", "24", "64", "70", "1000000"};
  return kNumbers[byte % kNumbers.size()];
}

void inverse(const occ::Transform& t, size_t planes, const occ::Rect& at, bool strange) {
  occ::Rng rng(1);
  std::vector<Matrix<float>> y;
  std::vector<MatrixView<const float>> views;
  for (size_t i = 0; i < planes; ++i) {
    const occ::Rect rect = t.plane_rect(i, at);
    y.emplace_back(rect.rows, rect.cols);
    for (size_t k = 0; k < y.back().size(); ++k) {
      y.back().data()[k] =
          strange ? std::bit_cast<float>(static_cast<uint32_t>(rng.next())) : static_cast<float>(rng.uniform() - 0.5);
    }
  }
  for (const auto& p : y) views.push_back(p.view());
  Matrix<float> x(at.rows, at.cols);
  t.inverse(at, views, x.view());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto next = [&]() -> uint8_t {
    if (size == 0) return 0;
    --size;
    return *data++;
  };
  const auto registry = occ::transform_registry();
  const occ::TransformEntry& entry = registry[next() % registry.size()];
  const uint8_t rows = next(), cols = next();
  // Some inputs have an absurdly large shape. Loading must not allocate memory for it.
  const bool absurd = rows == 255 && cols == 255;
  const occ::Shape shape = absurd ? occ::Shape{size_t{1} << 50, size_t{1} << 50} : occ::Shape{rows % 40u, cols % 80u};
  try {
    occ::Params params(entry.params);
    for (const occ::ParamSpec& spec : entry.params) params.set(spec.name, choose(spec, next()));
    occ::ByteReader side({data, size}, "fuzz");
    const auto t = entry.load(params, shape, side);
    if (absurd) return 0;
    const size_t planes = std::max<size_t>(entry.planes.size(), 1);
    for (const bool strange : {false, true}) inverse(*t, planes, {0, 0, shape.rows, shape.cols}, strange);
    if (t->traits().row_local && shape.rows > 1) inverse(*t, planes, {1, 0, shape.rows / 2, shape.cols}, false);
  } catch (const occ::Error&) {
  }
  return 0;
}
