#include "quantization/product_codebook.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <mutex>

#include "base/check.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "quantization/kmeans.h"
#include "quantization/scale_grid.h"
#include "simd/panel.h"
#include "tensor/dtype.h"

namespace occ {
namespace {

constexpr unsigned kMaxIndexBits = 16;

// Returns the gain of vector quantization of `width` independent normal values over scalar quantization, in bits per
// column at the same number of centroids per column. It is about a third of the limit at high rates (.72 bits),
// measured for up to 8 columns.
double gain_of(size_t width) { return 0.24 * (1 - 1 / std::sqrt(static_cast<double>(width))); }

// Returns the widths to be tried.
std::vector<size_t> widths_for(size_t cols) {
  std::vector<size_t> widths;
  for (size_t w = 1; w < cols; w = w < 16 ? w + 1 : w * 2) widths.push_back(w);
  widths.push_back(std::max<size_t>(1, cols));
  return widths;
}

// Returns the power of two that brings the largest magnitude into [1, 2), or 1 if all values are zero.
double power_below(float largest) { return largest > 0 ? std::ldexp(1.0, std::ilogb(largest)) : 1.0; }

}  // namespace

CodebookFormat::CodebookFormat(const Params& params)
    : rtn(params.choice("codebook") == "rtn"),
      rtn_bits(static_cast<unsigned>(params.integer("codebook_bits"))),
      per_column(params.choice("codebook_scale") == "column") {}

uint64_t CodebookFormat::bits(size_t cols, size_t width, size_t k) const {
  if (!rtn) return 32 + uint64_t{16} * cols * k;
  const uint64_t scales = per_column ? uint64_t{64} * cols : uint64_t{16} * ceil_div(cols, width) * k;
  return scales + uint64_t{rtn_bits} * cols * k;
}

// Chooses among all sizes that fit those with the largest log2(k) / width + gain_of(width). At high rates the error of
// a vector quantizer falls as 2^(-2 R), where R = log2(k) / width is the rate in bits per column.
ProductSizes choose_sizes(std::string_view owner, const Params& params, Shape shape, double reserved, size_t copies,
                          const FitContext& context, double* value) {
  const CodebookFormat format(params);
  const auto m = static_cast<size_t>(params.integer("m")), k = static_cast<size_t>(params.integer("k"));
  if (shape.size() == 0) return {};
  std::vector<size_t> widths = widths_for(shape.cols);
  if (m != 0) {
    widths = {ceil_div(shape.cols, std::min(m, shape.cols))};
    const size_t subspaces = ceil_div(shape.cols, widths[0]);
    if (subspaces != m || shape.cols % m != 0) {
      context.report_fallback(
          fmt::format("{}: {} columns do not make m={} equal subspaces: {} of {} columns, the last of {}", owner,
                      shape.cols, m, subspaces, widths[0], shape.cols - (subspaces - 1) * widths[0]));
    }
  }
  // 80 bytes are reserved for the last tile, varints and padding.
  const double budget =
      params.real("bits") * static_cast<double>(shape.rows) * static_cast<double>(shape.cols) - reserved - 640;
  ProductSizes best;
  double most = -1;
  for (const size_t width : widths) {
    for (unsigned w = 0; w <= kMaxIndexBits; ++w) {
      const double indices = static_cast<double>(w) * static_cast<double>(shape.rows * ceil_div(shape.cols, width));
      const size_t least = (size_t{1} << w) / 2 + 1, limit = size_t{1} << w;
      size_t count = k;
      if (k == 0) {
        const auto fixed = static_cast<double>(copies * format.bits(shape.cols, width, 0));
        const double each = static_cast<double>(copies * format.bits(shape.cols, width, 1)) - fixed;
        const double room = (budget - indices - fixed) / each;
        count = room < 1 ? 0 : static_cast<size_t>(std::min(room, static_cast<double>(limit)));
        count = std::min(count, ceil_div(shape.rows, copies));  // more centroids than vectors would be useless
      }
      if (count < least || count > limit) continue;
      if (k != 0 && m == 0 && indices + static_cast<double>(copies * format.bits(shape.cols, width, k)) > budget)
        continue;
      const double worth = std::log2(static_cast<double>(count)) / static_cast<double>(width) + gain_of(width);
      if (worth > most) most = worth, best = {width, count};
    }
  }
  if (value != nullptr) *value = most;
  if (most < 0) {
    best = {m != 0 ? widths[0] : shape.cols, k != 0 ? k : 1};
    context.report_fallback(fmt::format(
        "{}: {} x {} weights leave no room for a codebook at bits={:.4g}; takes {} of {}", owner, shape.rows,
        shape.cols, params.real("bits"), best.k == 1 ? "1 centroid" : fmt::format("{} centroids", best.k),
        fmt::format("{} columns", best.width)));
  }
  if (best.k > shape.rows) {
    context.report_fallback(fmt::format("{}: {} centroids for {} rows, some are repeated", owner, best.k, shape.rows));
  }
  return best;
}

struct ProductCodebook::Search {
  std::once_flag once;
  double scale = 1;           // values are searched as x * scale - center
  std::vector<float> center;  // [cols]
  std::vector<CentroidSearch> subspaces;
};

void ProductCodebook::clear(ProductSizes sizes) {
  sizes_ = sizes;
  store(std::vector<float>(cols_ * sizes_.k));
}

void ProductCodebook::fit(MatrixView<const float> x, ProductSizes sizes, size_t iterations, uint64_t seed,
                          std::span<const float> weights, std::span<const double> row_weights, bool go_on) {
  OCC_CHECK(x.cols() == cols_);
  sizes_ = sizes;
  weights_.assign(weights.begin(), weights.end());
  std::vector<float> centroids(cols_ * sizes_.k);
  parallel_for(subspaces(), [&](size_t s) {
    const size_t c0 = s * sizes_.width, d = columns_of(s);
    // Values are centred and scaled to magnitudes of at most 2, so that squares neither overflow nor lose digits.
    Matrix<float> values = Matrix<float>::uninitialized(x.rows(), d);
    float largest = 0;
    for (size_t r = 0; r < x.rows(); ++r) {
      for (size_t i = 0; i < d; ++i) largest = std::max(largest, std::abs(x(r, c0 + i)));
    }
    const double scale = std::min(1 / power_below(largest), 0x1p126);
    std::vector<double> mean(d);
    for (size_t r = 0; r < x.rows(); ++r) {
      for (size_t i = 0; i < d; ++i) mean[i] += static_cast<double>(x(r, c0 + i)) * scale;
    }
    for (double& v : mean) v /= static_cast<double>(std::max<size_t>(1, x.rows()));
    for (size_t r = 0; r < x.rows(); ++r) {
      for (size_t i = 0; i < d; ++i) {
        values(r, i) = static_cast<float>(static_cast<double>(x(r, c0 + i)) * scale - mean[i]);
      }
    }
    KmeansOptions options{sizes_.k, iterations, random_word(seed, s), {}, {}, row_weights};
    Matrix<float> start;
    if (go_on) {
      start = Matrix<float>::uninitialized(sizes_.k, d);
      for (size_t j = 0; j < sizes_.k; ++j) {
        for (size_t i = 0; i < d; ++i) {
          start(j, i) = static_cast<float>(static_cast<double>(centroids_of(s)[j * d + i]) * scale - mean[i]);
        }
      }
      options.start = start.view();
    }
    if (!weights_.empty()) options.weights = std::span<const float>(weights_).subspan(c0, d);
    const Matrix<float> found = kmeans(values.view(), options);
    for (size_t j = 0; j < sizes_.k; ++j) {
      for (size_t i = 0; i < d; ++i) {
        const double value = (static_cast<double>(found(j, i)) + mean[i]) / scale;
        centroids[c0 * sizes_.k + j * d + i] =
            static_cast<float>(std::clamp(value, -static_cast<double>(FLT_MAX), static_cast<double>(FLT_MAX)));
      }
    }
  });
  store(centroids);
}

void ProductCodebook::store(const std::vector<float>& centroids) {
  codes_.assign(centroids.size(), 0);
  if (!format_.rtn) {
    float largest = 0;
    for (const float c : centroids) largest = std::max(largest, std::abs(c));
    const int exponent = largest > 0 ? std::clamp(std::ilogb(largest) - 13, -126, 114) : 0;
    scale_ = std::ldexp(1.0f, exponent);
    for (size_t i = 0; i < centroids.size(); ++i) {
      codes_[i] = f32_to_f16(static_cast<float>(std::ldexp(static_cast<double>(centroids[i]), -exponent)));
      if (!std::isfinite(f16_to_f32(codes_[i]) * scale_)) --codes_[i];  // it was rounded up beyond the range of f32
    }
    return decode_stored();
  }
  const double levels = static_cast<double>((uint32_t{1} << format_.rtn_bits) - 1);
  const auto code_of = [&](double value) {
    return static_cast<uint16_t>(std::clamp(std::nearbyint(value), 0.0, levels));
  };
  scales_.assign(format_.per_column ? cols_ : subspaces() * sizes_.k, 0);
  middles_.assign(format_.per_column ? cols_ : 0, 0);
  for (size_t s = 0; s < subspaces(); ++s) {
    const size_t d = columns_of(s), begin = s * sizes_.width * sizes_.k;
    const auto at = [&](size_t j, size_t i) { return begin + j * d + i; };
    if (format_.per_column) {
      for (size_t i = 0; i < d; ++i) {
        float low = centroids[at(0, i)], high = low;
        for (size_t j = 0; j < sizes_.k; ++j) {
          low = std::min(low, centroids[at(j, i)]);
          high = std::max(high, centroids[at(j, i)]);
        }
        const double range = static_cast<double>(high) - static_cast<double>(low);
        // The step is rounded down, so that the levels stay within f32.
        const float step = std::nextafter(static_cast<float>(range / levels), 0.0f);
        const double middle = static_cast<double>(low) + range / 2;
        middles_[s * sizes_.width + i] = static_cast<float>(middle);
        scales_[s * sizes_.width + i] = step;
        for (size_t j = 0; j < sizes_.k && step > 0; ++j) {
          codes_[at(j, i)] =
              code_of((static_cast<double>(centroids[at(j, i)]) - middle) / static_cast<double>(step) + levels / 2);
        }
      }
      continue;
    }
    for (size_t j = 0; j < sizes_.k; ++j) {
      double largest = 0;
      for (size_t i = 0; i < d; ++i) largest = std::max(largest, std::abs(static_cast<double>(centroids[at(j, i)])));
      const int code =
          std::min(scale_code_up(largest * 2 / levels), scale_code_down(static_cast<double>(FLT_MAX) / levels));
      const float scale = scales_[s * sizes_.k + j] = scale_of(code);
      for (size_t i = 0; i < d && scale > 0; ++i) {
        codes_[at(j, i)] = code_of(static_cast<double>(centroids[at(j, i)]) / static_cast<double>(scale) + levels / 2);
      }
    }
  }
  decode_stored();
}

void ProductCodebook::decode_stored() {
  search_ = std::make_shared<Search>();
  decoded_.resize(codes_.size());
  if (!format_.rtn) {
    for (size_t i = 0; i < codes_.size(); ++i) decoded_[i] = f16_to_f32(codes_[i]) * scale_;
    return;
  }
  const float middle = static_cast<float>((uint32_t{1} << format_.rtn_bits) - 1) / 2;
  size_t at = 0;
  for (size_t s = 0; s < subspaces(); ++s) {
    const size_t d = columns_of(s);
    for (size_t j = 0; j < sizes_.k; ++j) {
      for (size_t i = 0; i < d; ++i, ++at) {
        const auto code = static_cast<float>(codes_[at]);
        const size_t column = s * sizes_.width + i;
        decoded_[at] = format_.per_column ? middles_[column] + scales_[column] * (code - middle)
                                          : scales_[s * sizes_.k + j] * (code - middle);
      }
    }
  }
}

void ProductCodebook::save(ByteWriter& out) const {
  out.put_varint(sizes_.width);
  out.put_varint(sizes_.k);
  if (!format_.rtn) {
    out.put(scale_);
    out.put_array(codes_.data(), codes_.size());
    return;
  }
  if (format_.per_column) {
    out.put_array(middles_.data(), middles_.size());
    out.put_array(scales_.data(), scales_.size());
  } else {
    put_scales(scales_, out);
  }
  uint64_t held = 0;
  unsigned bits = 0;
  for (const uint16_t code : codes_) {
    held |= uint64_t{code} << bits;
    for (bits += format_.rtn_bits; bits >= 8; bits -= 8, held >>= 8) out.put(static_cast<uint8_t>(held));
  }
  if (bits > 0) out.put(static_cast<uint8_t>(held));
}

void ProductCodebook::load(ByteReader& side) {
  const uint64_t width = side.get_varint(), k = side.get_varint();
  if (width == 0 || width > std::max<size_t>(1, cols_) || k == 0 || k > 65536) {
    throw_input("{}: expected subspaces of 1 to {} columns with 1 to 65536 centroids, found {} and {}", side.what(),
                cols_, width, k);
  }
  sizes_ = {static_cast<size_t>(width), static_cast<size_t>(k)};
  // The number of bytes that are left limits the sizes, before any memory is allocated.
  const uint64_t count = uint64_t{cols_} * k, bits = format_.rtn ? format_.rtn_bits : 16;
  if (cols_ > 8 * side.remaining() || count > 8 * uint64_t{side.remaining()} / bits) {
    throw_input("{}: expected {} numbers of {} bits in codebooks, found {} bytes", side.what(), count, bits,
                side.remaining());
  }
  codes_.resize(count);
  if (!format_.rtn) {
    scale_ = side.get<float>();
    side.get_array(codes_.data(), codes_.size());
  } else {
    if (format_.per_column) {
      middles_.resize(cols_);
      scales_.resize(cols_);
      side.get_array(middles_.data(), middles_.size());
      side.get_array(scales_.data(), scales_.size());
    } else {
      scales_ = get_scales(subspaces() * sizes_.k, side);
    }
    const ByteSpan packed = side.get_bytes(ceil_div(count * bits, 8));
    uint64_t held = 0;
    unsigned have = 0;
    size_t at = 0;
    for (uint16_t& code : codes_) {
      for (; have < bits; have += 8) held |= uint64_t{packed[at++]} << have;
      code = static_cast<uint16_t>(held & ((uint64_t{1} << bits) - 1));
      held >>= bits;
      have -= static_cast<unsigned>(bits);
    }
  }
  decode_stored();
  for (const float value : decoded_) {
    if (!std::isfinite(value)) throw_input("{}: expected finite centroids, found {}", side.what(), value);
  }
}

const ProductCodebook::Search& ProductCodebook::search() const {
  Search* made = search_.get();
  std::call_once(made->once, [&] {
    made->subspaces.clear();  // removes what a failed call may have left
    float largest = 0;
    for (const float v : decoded_) largest = std::max(largest, std::abs(v));
    made->scale = std::min(1 / power_below(largest), 0x1p126);
    made->center.resize(cols_);
    std::vector<float> column(sizes_.k);
    for (size_t s = 0; s < subspaces(); ++s) {
      const size_t c0 = s * sizes_.width, d = columns_of(s);
      const float* centroids = centroids_of(s);
      Matrix<float> scaled(sizes_.k, d);
      for (size_t i = 0; i < d; ++i) {
        for (size_t j = 0; j < sizes_.k; ++j) {
          column[j] = static_cast<float>(static_cast<double>(centroids[j * d + i]) * made->scale);
        }
        std::vector<float> sorted = column;
        std::nth_element(sorted.begin(), sorted.begin() + static_cast<ptrdiff_t>(sizes_.k / 2), sorted.end());
        made->center[c0 + i] = sorted[sizes_.k / 2];
        for (size_t j = 0; j < sizes_.k; ++j) scaled(j, i) = column[j] - made->center[c0 + i];
      }
      std::span<const float> weights;
      if (!weights_.empty()) weights = std::span<const float>(weights_).subspan(c0, d);
      made->subspaces.emplace_back(scaled.view(), weights);
    }
  });
  return *made;
}

void ProductCodebook::encode(size_t first, MatrixView<const float> x, MatrixView<Symbol> codes) const {
  if (x.size() == 0) return;
  constexpr float kMost = 1e15f;
  const Search& search = this->search();
  const auto scale = static_cast<float>(search.scale);
  Matrix<float> panel = Matrix<float>::uninitialized(x.cols(), kPanelLanes);
  for (size_t r = 0; r < x.rows(); r += kPanelLanes) {
    const size_t rows = std::min(kPanelLanes, x.rows() - r);
    load_panel_rows(x.row_range(r, rows), panel.data());
    for (size_t c = 0; c < x.cols(); ++c) {
      const float center = search.center[first * sizes_.width + c];
      float* values = panel.row(c);
      for (size_t v = 0; v < kPanelLanes; ++v) values[v] = std::clamp(values[v] * scale - center, -kMost, kMost);
    }
    for (size_t s = 0; s < codes.cols(); ++s) {
      uint32_t index[kPanelLanes];
      float value[kPanelLanes];
      search.subspaces[first + s].nearest(panel.row(s * sizes_.width), index, value);
      for (size_t v = 0; v < rows; ++v) codes(r + v, s) = static_cast<Symbol>(index[v]);
    }
  }
}

namespace {

template <size_t kWidth>
void copy_row(const float* centroids, size_t step, const Symbol* codes, size_t count, float* out) {
  for (size_t s = 0; s < count; ++s, centroids += step, out += kWidth) {
    std::copy_n(centroids + size_t{codes[s]} * kWidth, kWidth, out);
  }
}

}  // namespace

void ProductCodebook::decode(size_t first, MatrixView<const Symbol> codes, MatrixView<float> out) const {
  if (out.size() == 0) return;
  const size_t width = sizes_.width, step = width * sizes_.k, whole = out.cols() / width;
  for (size_t r = 0; r < out.rows(); ++r) {
    const Symbol* code = codes.row(r);
    const float* centroids = centroids_of(first);
    float* to = out.row(r);
    switch (width) {
      case 1:
        copy_row<1>(centroids, step, code, whole, to);
        break;
      case 2:
        copy_row<2>(centroids, step, code, whole, to);
        break;
      case 4:
        copy_row<4>(centroids, step, code, whole, to);
        break;
      case 8:
        copy_row<8>(centroids, step, code, whole, to);
        break;
      default:
        for (size_t s = 0; s < whole; ++s) {
          std::copy_n(centroids + s * step + size_t{code[s]} * width, width, to + s * width);
        }
    }
    if (whole == codes.cols()) continue;
    const size_t rest = out.cols() - whole * width;
    std::copy_n(centroids + whole * step + size_t{code[whole]} * rest, rest, to + whole * width);
  }
}

}  // namespace occ
