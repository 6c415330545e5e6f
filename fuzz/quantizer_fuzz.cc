// Loads the side information of any quantizer. Loading must succeed or throw occ::Error, and a quantizer that was
// loaded must decode any symbols. The bytes of the input are the number of the quantizer, one byte for every parameter,
// the numbers of rows and columns, two bytes of the seed for the symbols, and then the side information.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "quantization/quantizer.h"

namespace {

using namespace occ;

// Maps any byte to a valid value of the parameter.
std::string value_of(const ParamSpec& spec, uint8_t byte) {
  if (spec.type == ParamSpec::Type::kChoice) {
    std::vector<std::string> choices(1);
    for (const char c : spec.choices) {
      if (c == '|') {
        choices.emplace_back();
      } else {
        choices.back() += c;
      }
    }
    return choices[byte % choices.size()];
  }
  const auto width = static_cast<uint64_t>(spec.max - spec.min);
  if (spec.type == ParamSpec::Type::kInt)
    return std::to_string(static_cast<int64_t>(spec.min) + static_cast<int64_t>(byte % (width + 1)));
  return std::to_string(spec.min + (spec.max - spec.min) * byte / 255);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteSpan input(data, size);
  size_t at = 0;
  const auto next = [&] { return at < size ? input[at++] : uint8_t{0}; };
  const auto registry = quantizer_registry();
  const QuantizerEntry& entry = registry[next() % registry.size()];
  Params::Given given;
  for (const ParamSpec& spec : entry.params) {
    // A codebook of more directions is searched for up to 10 s, once per machine, however small the file is.
    const uint8_t byte = next();
    given.emplace_back(spec.name, value_of(spec, std::string_view(spec.name) == "direction" ? byte % 10 : byte));
  }
  const Shape shape{size_t{next()} % 33, size_t{next()} % 70};
  const uint64_t seed = next() + 256u * next();
  try {
    const Params params(entry.params, given, "fuzz");
    ByteReader side(input.subspan(at), "fuzz");
    const auto quantizer = entry.load(params, shape, side);
    side.expect_done();
    std::vector<Matrix<Symbol>> symbols;
    std::vector<MatrixView<const Symbol>> views;
    uint64_t word = 0;
    for (const SymbolPlane& plane : quantizer->planes()) {
      symbols.emplace_back(plane.rows, plane.cols);
      Matrix<Symbol>& s = symbols.back();
      for (size_t i = 0; i < s.size(); ++i) {
        s.data()[i] = static_cast<Symbol>(random_word(seed, word++) % plane.alphabet);
      }
    }
    for (const auto& s : symbols) views.push_back(s.view());
    Matrix<float> out(shape.rows, shape.cols);
    quantizer->dequantize({0, 0, shape.rows, shape.cols}, views, out.view());
  } catch (const Error&) {
  }
  return 0;
}
