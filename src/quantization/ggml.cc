#include "quantization/ggml.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/parallel.h"
#include "quantization/ggml_scales.h"
#include "quantization/ggml_types.h"
#include "quantization/make.h"
#include "tensor/dtype.h"

namespace occ {
namespace {

constexpr ParamSpec kParams[] = {
    choice_param("type", "Q4_0", "Q4_0|Q4_1|Q5_0|Q5_1|Q8_0|IQ4_NL|Q2_K|Q3_K|Q4_K|Q5_K|Q6_K", "type of the blocks"),
    int_param("group", "0", 0, 65536, "columns of a block, for types without sub-blocks; 0: as in GGUF, 32"),
};
constexpr std::string_view kPlanes[] = {"codes"};
constexpr double kMostHalf = 65504;  // the largest finite f16
constexpr double kMostBoth = 65280;  // the largest number that both f16 and bf16 have

uint16_t half_of(double x) { return f32_to_f16(static_cast<float>(std::clamp(x, -kMostHalf, kMostHalf))); }

float as_bf16(uint16_t half) { return bf16_to_f32(f32_to_bf16(f16_to_f32(half))); }

GgmlType type_of(const Params& params, ErrorKind kind) {
  GgmlType type = ggml_type(params.choice("type"));
  const auto group = static_cast<size_t>(params.integer("group"));
  if (group == 0 || (group == type.super && type.has_integers())) return type;
  if (type.has_integers()) {
    throw Error(kind, fmt::format("ggml: expected no group with type {}, found {}", type.name, group));
  }
  type.sub = type.super = group;
  type.bytes = 0;
  return type;
}

class GgmlQuantizer final : public Quantizer {
 public:
  GgmlQuantizer(const Params& params, Shape shape, ErrorKind kind)
      : type_(type_of(params, kind)),
        shape_(shape),
        subs_(ceil_div(shape.cols, type_.sub)),
        supers_(ceil_div(shape.cols, type_.super)) {}

  void fit(const Params&, MatrixView<const float> x, const FitContext& ctx) {
    allocate();
    std::vector<double> weights(shape_.cols, 1.0);
    for (size_t c = 0; c < shape_.cols; ++c) {
      if (!ctx.feedback_scales.empty()) {
        weights[c] = ctx.feedback_scales[c] * ctx.feedback_scales[c];
      } else if (ctx.hessian.size() != 0) {
        weights[c] = ctx.hessian(c, c);
      }
    }
    if (std::all_of(weights.begin(), weights.end(), [](double w) { return w == 0; })) {
      std::fill(weights.begin(), weights.end(), 1.0);
    }
    parallel_for(shape_.rows, [&](size_t r) { fit_row(r, x.row(r), weights); });
    make_floats();
  }

  void load(ByteReader& side) {
    allocate();
    get_halves(side, halves_);
    if (type_.offsets) get_halves(side, offset_halves_);
    if (type_.has_integers()) {
      get_integers(side, integers_);
      if (type_.offsets) get_integers(side, offset_integers_);
    }
    make_floats();
  }

  std::vector<SymbolPlane> planes() const override {
    return {{.name = "codes", .rows = shape_.rows, .cols = shape_.cols, .alphabet = type_.alphabet()}};
  }

  void quantize(const Rect& at, MatrixView<float> values, std::span<const MatrixView<Symbol>> symbols) const override {
    OCC_CHECK(symbols.size() == 1 && values.shape() == at.shape() && symbols[0].shape() == at.shape());
    for (size_t r = 0; r < at.rows; ++r) {
      for (size_t c = 0; c < at.cols; ++c) {
        const size_t i = sub_of(at.row + r, at.col + c);
        float& v = values(r, c);
        const uint16_t code =
            scales_[i] == 0 ? static_cast<uint16_t>(type_.zero) : ggml_code(type_, (v + offsets_[i]) / scales_[i]);
        symbols[0](r, c) = code;
        v = value(code, i);
      }
    }
  }
  void dequantize(const Rect& at, std::span<const MatrixView<const Symbol>> symbols,
                  MatrixView<float> out) const override {
    OCC_CHECK(symbols.size() == 1 && out.shape() == at.shape() && symbols[0].shape() == at.shape());
    for (size_t r = 0; r < at.rows; ++r) {
      for (size_t c = 0; c < at.cols; ++c) out(r, c) = value(symbols[0](r, c), sub_of(at.row + r, at.col + c));
    }
  }

  std::optional<IntegerView> integer_view() const override {
    if (type_.offsets || type_.table) return std::nullopt;
    IntegerView view;
    view.factors = scales_;
    view.row_step = subs_;
    view.group = type_.sub;
    view.common_zero = static_cast<float>(type_.zero);
    view.alphabet = type_.alphabet();
    return view;
  }
  void integers(const Rect& at, std::span<const MatrixView<const Symbol>> symbols,
                MatrixView<int32_t> out) const override {
    OCC_CHECK(symbols.size() == 1 && out.shape() == at.shape() && symbols[0].shape() == at.shape());
    for (size_t r = 0; r < at.rows; ++r) {
      for (size_t c = 0; c < at.cols; ++c) out(r, c) = symbols[0](r, c);
    }
  }

  bool side_grows() const override { return true; }
  void save(ByteWriter& out) const override {
    out.put_array(halves_.data(), halves_.size());
    out.put_array(offset_halves_.data(), offset_halves_.size());
    out.put_array(integers_.data(), integers_.size());
    out.put_array(offset_integers_.data(), offset_integers_.size());
  }

  const GgmlType& type() const { return type_; }
  std::span<const float> scales() const { return scales_; }
  void pack(size_t first_row, MatrixView<const Symbol> symbols, uint8_t* out) const {
    OCC_CHECK(type_.bytes != 0 && shape_.cols % type_.super == 0 && symbols.cols() == shape_.cols);
    const size_t per_super = type_.super / type_.sub;
    std::vector<uint16_t> codes(type_.super);
    for (size_t r = 0; r < symbols.rows(); ++r) {
      for (size_t s = 0; s < supers_; ++s, out += type_.bytes) {
        std::copy_n(symbols.row(r) + s * type_.super, type_.super, codes.begin());
        const size_t super = (first_row + r) * supers_ + s, sub = (first_row + r) * subs_ + s * per_super;
        GgmlBlock block{.scale = halves_[super], .codes = codes};
        if (type_.offsets) block.offset = offset_halves_[super];
        if (type_.has_integers()) block.scales = std::span(integers_).subspan(sub, per_super);
        if (!offset_integers_.empty()) block.offsets = std::span(offset_integers_).subspan(sub, per_super);
        pack_ggml_block(type_, block, out);
      }
    }
  }

 private:
  size_t sub_of(size_t r, size_t c) const { return r * subs_ + c / type_.sub; }
  size_t super_of(size_t r, size_t sub) const { return r * supers_ + sub * type_.sub / type_.super; }

  // In the order of io/gguf_blocks.h, so that the floats are those of llama.cpp.
  float value(Symbol code, size_t i) const {
    const float scaled = scales_[i] * ggml_level(type_, code);
    return type_.offsets ? scaled - offsets_[i] : scaled;
  }

  void allocate() {
    halves_.resize(shape_.rows * supers_);
    if (type_.offsets) offset_halves_.resize(halves_.size());
    if (!type_.has_integers()) return;
    integers_.resize(shape_.rows * subs_);
    if (type_.offsets) offset_integers_.resize(integers_.size());
  }

  // f16 numbers and integers of the row from the best scales of its sub-blocks.
  void fit_row(size_t r, const float* x, std::span<const double> weights) {
    const size_t per_super = type_.super / type_.sub;
    std::vector<GgmlScale> fits(per_super);
    for (size_t s = 0; s < supers_; ++s) {
      const size_t first = s * per_super, count = std::min(per_super, subs_ - first);
      for (size_t j = 0; j < count; ++j) {
        const size_t c = (first + j) * type_.sub, n = std::min(type_.sub, shape_.cols - c);
        fits[j] = fit_ggml_scale(type_, {x + c, n}, weights.subspan(c, n));
      }
      const size_t super = r * supers_ + s;
      if (!type_.has_integers()) {
        halves_[super] = half_of(fits[0].scale);
        // Groups that are asked for are for programs that may store scales as bf16: all bits that it lacks are 0.
        if (type_.bytes == 0)
          halves_[super] = half_of(std::clamp<double>(as_bf16(halves_[super]), -kMostBoth, kMostBoth));
        if (type_.offsets) offset_halves_[super] = half_of(-fits[0].offset);
        continue;
      }
      int8_t* scale_integers = integers_.data() + r * subs_ + first;
      set_integers(std::span(fits).first(count), &GgmlScale::scale, halves_[super], scale_integers);
      if (!type_.offsets) continue;
      int8_t* offset_integers = offset_integers_.data() + r * subs_ + first;
      set_integers(std::span(fits).first(count), &GgmlScale::offset, offset_halves_[super], offset_integers);
    }
  }

  // The f16 with which the number of largest magnitude has the outermost integer, and the integers of all numbers.
  void set_integers(std::span<const GgmlScale> fits, double GgmlScale::*number, uint16_t& half,
                    int8_t* integers) const {
    double largest = 0;
    for (const GgmlScale& f : fits) {
      if (std::abs(f.*number) > std::abs(largest)) largest = f.*number;
    }
    half = half_of(largest / (type_.least_scale != 0 ? type_.least_scale : type_.most_scale));
    const auto unit = static_cast<double>(f16_to_f32(half));
    for (size_t j = 0; j < fits.size(); ++j) {
      const double k = unit == 0 ? 0 : std::nearbyint(fits[j].*number / unit);
      integers[j] = static_cast<int8_t>(std::clamp<double>(k, type_.least_scale, type_.most_scale));
    }
  }

  void make_floats() {
    scales_.resize(shape_.rows * subs_);
    if (type_.offsets) offsets_.resize(scales_.size());
    if (!type_.offsets) offsets_.assign(scales_.size(), 0);
    for (size_t r = 0; r < shape_.rows; ++r) {
      for (size_t j = 0; j < subs_; ++j) {
        const size_t i = r * subs_ + j, super = super_of(r, j);
        scales_[i] = f16_to_f32(halves_[super]);
        if (type_.has_integers()) scales_[i] *= static_cast<float>(integers_[i]);
        if (!type_.offsets) continue;
        offsets_[i] = type_.has_integers() ? f16_to_f32(offset_halves_[super]) * static_cast<float>(offset_integers_[i])
                                           : -f16_to_f32(offset_halves_[super]);
      }
    }
  }

  void get_halves(ByteReader& side, std::vector<uint16_t>& halves) const {
    if (halves.size() > side.remaining() / sizeof(uint16_t)) {
      throw_input("{}: expected {} scales of two bytes, found {} bytes", side.what(), halves.size(), side.remaining());
    }
    for (uint16_t& half : halves) {
      half = side.get<uint16_t>();
      if ((half & 0x7c00) == 0x7c00) throw_input("{}: expected finite scales, found one that is not", side.what());
    }
  }
  void get_integers(ByteReader& side, std::vector<int8_t>& integers) const {
    if (integers.size() > side.remaining()) {
      throw_input("{}: expected {} scales of a byte, found {} bytes", side.what(), integers.size(), side.remaining());
    }
    for (int8_t& k : integers) {
      k = static_cast<int8_t>(side.get<uint8_t>());
      if (k < type_.least_scale || k > type_.most_scale) {
        throw_input("{}: expected scales from {} to {}, found {}", side.what(), type_.least_scale, type_.most_scale, k);
      }
    }
  }

  const GgmlType type_;
  const Shape shape_;
  const size_t subs_, supers_;  // of a row
  // One for every super-block, in the order of rows: f16 of scale and of offset. The second is the minimum, -offset, in
  // types without integers.
  std::vector<uint16_t> halves_, offset_halves_;
  std::vector<int8_t> integers_, offset_integers_;  // one for every sub-block; empty for types without them
  std::vector<float> scales_, offsets_;             // one for every sub-block
};

}  // namespace

QuantizerEntry ggml_entry() {
  return {.name = "ggml",
          .summary = "blocks of GGUF files, for llama.cpp: scales of 16 or 32 columns, offsets in some types",
          .params = kParams,
          .planes = kPlanes,
          .fit = fit_quantizer<GgmlQuantizer>,
          .load = load_quantizer<GgmlQuantizer>};
}

std::string_view ggml_type_of(const Quantizer& quantizer) {
  const auto* ggml = dynamic_cast<const GgmlQuantizer*>(&quantizer);
  return ggml == nullptr ? std::string_view() : ggml->type().name;
}

std::span<const float> ggml_scales(const Quantizer& quantizer) {
  return dynamic_cast<const GgmlQuantizer&>(quantizer).scales();
}

void pack_ggml_rows(const Quantizer& quantizer, size_t first_row, MatrixView<const Symbol> symbols, uint8_t* out) {
  dynamic_cast<const GgmlQuantizer&>(quantizer).pack(first_row, symbols, out);
}

}  // namespace occ
