#include "quantization/uniform.h"

#include <cfloat>
#include <cmath>

#include "base/check.h"
#include "quantization/make.h"
#include "quantization/scale_grid.h"
#include "quantization/uniform_kernels.h"
#include "quantization/uniform_search.h"
#include "tensor/dtype.h"

namespace occ {
namespace {

constexpr ParamSpec kParams[] = {
    int_param("bits", "4", 1, 16, "bits per code"),
    kPerParam,
    kGroupParam,
    choice_param("zero", "symmetric", "symmetric|asymmetric", "levels around zero, or with a zero point per scale"),
    choice_param("clip", "mse", "mse|absmax", "scale with the least squared error, or the least that clips nothing"),
};
constexpr std::string_view kPlanes[] = {"codes"};

class UniformQuantizer final : public Quantizer {
 public:
  UniformQuantizer(const Params& params, Shape shape, ErrorKind)
      : grid_(make_scale_grid(params, shape)),
        bits_(static_cast<unsigned>(params.integer("bits"))),
        asymmetric_(params.choice("zero") == "asymmetric"),
        max_code_(static_cast<float>((1u << bits_) - 1)) {}

  void fit(const Params& params, MatrixView<const float> x, const FitContext&) {
    scales_.resize(grid_.count);
    if (asymmetric_) zeros_.resize(grid_.count);
    const UniformFit how(bits_, asymmetric_, params.choice("clip") == "absmax");
    for_each_line(grid_, x, [&](const ScaleLine& line) {
      const UniformChoice choice = fit_uniform_line(how, line.x);
      scales_[line.index] = choice.scale;
      if (asymmetric_) zeros_[line.index] = static_cast<float>(choice.zero);
    });
  }

  void load(ByteReader& side) {
    scales_ = get_scales(grid_.count, side);
    if (asymmetric_) get_zeros(side);
    for (size_t i = 0; i < scales_.size(); ++i) {
      if (scales_[i] > scale_of(max_scale_code(max_code_, offset(i)))) {
        throw_scale_too_large(side, i);
      }
    }
  }

  std::vector<SymbolPlane> planes() const override {
    return {{.name = "codes", .rows = grid_.shape.rows, .cols = grid_.shape.cols, .alphabet = uint32_t{1} << bits_}};
  }

  void quantize(const Rect& at, MatrixView<float> values, std::span<const MatrixView<Symbol>> symbols) const override {
    OCC_CHECK(symbols.size() == 1 && values.shape() == at.shape() && symbols[0].shape() == at.shape());
    if (values.size() != 0) uniform_quantize(window(at), values, symbols[0]);
  }
  void dequantize(const Rect& at, std::span<const MatrixView<const Symbol>> symbols,
                  MatrixView<float> out) const override {
    OCC_CHECK(symbols.size() == 1 && out.shape() == at.shape() && symbols[0].shape() == at.shape());
    if (out.size() != 0) uniform_dequantize(window(at), symbols[0], out);
  }

  std::optional<IntegerView> integer_view() const override {
    IntegerView view;
    view.factors = scales_;
    view.zeros = zeros_;
    view.row_step = grid_.row_step;
    view.group = grid_.group;
    view.common_zero = max_code_ / 2;
    view.alphabet = uint32_t{1} << bits_;
    return view;
  }
  void integers(const Rect& at, std::span<const MatrixView<const Symbol>> symbols,
                MatrixView<int32_t> out) const override {
    OCC_CHECK(symbols.size() == 1 && out.shape() == at.shape() && symbols[0].shape() == at.shape());
    for (size_t r = 0; r < at.rows; ++r) {
      for (size_t c = 0; c < at.cols; ++c) out(r, c) = symbols[0](r, c);
    }
  }

  bool side_grows() const override { return grid_.row_step != 0; }
  void save(ByteWriter& out) const override {
    put_scales(scales_, out);
    if (!asymmetric_) return;
    const bool bytes = std::all_of(zeros_.begin(), zeros_.end(), [](float z) { return z >= 0 && z <= 255; });
    out.put<uint8_t>(bytes ? 0 : 1);
    for (const float z : zeros_) {
      if (bytes) {
        out.put(static_cast<uint8_t>(z));
      } else {
        out.put(static_cast<int16_t>(z));
      }
    }
  }

 private:
  float offset(size_t i) const { return asymmetric_ ? zeros_[i] : max_code_ / 2; }

  void get_zeros(ByteReader& side) {
    const uint8_t wide = side.get<uint8_t>();
    if (wide > 1) throw_input("{}: expected 0 or 1 before the zero points, found {}", side.what(), wide);
    zeros_.resize(grid_.count);
    const size_t size = wide == 1 ? sizeof(int16_t) : 1;
    if (grid_.count > side.remaining() / size) {
      throw_input("{}: expected {} zero points, found {} bytes", side.what(), grid_.count, side.remaining());
    }
    const ByteSpan bytes = side.get_bytes(grid_.count * size);
    convert_to_f32(wide == 1 ? DType::kI16 : DType::kU8, bytes.data(), zeros_.data(), grid_.count);
  }

  UniformWindow window(const Rect& at) const {
    return {.scales = grid_.window(at, scales_.data()),
            .offset = asymmetric_ ? zeros_.data() + grid_.index(at.row, at.col) : nullptr,
            .common_offset = max_code_ / 2,
            .max_code = max_code_};
  }

  const ScaleGrid grid_;
  const unsigned bits_;
  const bool asymmetric_;
  const float max_code_;       // 2^bits - 1
  std::vector<float> scales_;  // [grid.count] the scales, which are exact in bf16
  std::vector<float> zeros_;   // [grid.count] integer zero points if asymmetric, otherwise empty
};

}  // namespace

QuantizerEntry uniform_entry() {
  return {"uniform",
          "evenly spaced levels, a scale per row, tensor, column or group",
          kParams,
          kPlanes,
          fit_quantizer<UniformQuantizer>,
          load_quantizer<UniformQuantizer>};
}

}  // namespace occ
