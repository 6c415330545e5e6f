// The stage `e8`: vectors of 8 neighbours in a row become points of the lattice E8 = D8 u (D8 + 1/2), where D8 are the
// integer vectors with an even sum, times one step for the whole matrix. The symbols are meant for an entropy coder.
// The normalised second moment of E8, .07168, is .65 dB below that of the integers (1/12); at high rates .88 dB remain
// to the rate-distortion limit.
//
// Nearest point (Conway & Sloane 1982): in each of the two cosets every coordinate is rounded. If the sum is odd, the
// coordinate with the largest rounding error is rounded the other way. The nearer of the two points is taken.
//
// The points found are on average farther from 0 than the vectors they stand for. The stored step is therefore not the
// one used in the search but the one that fits a sample best: at 2 bits it is .93 times as large, which gains .3 dB.
//
// There is one symbol plane with nine symbols per vector: the coset, z_1 to z_7, and (z_8 - p) / 2, where p is the
// parity of z_1 + ... + z_7 and a coordinate is z + coset / 2. Since the sum of all z is even, z_8 has the parity p as
// well and takes one bit less. A finite-state machine along the row gives the coder its contexts: the coset, and for
// z_8 also the parity. If cols is no multiple of 8, zeros fill the last vector.
#include "quantization/e8.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/parallel.h"
#include "quantization/make.h"

namespace occ {
namespace {

constexpr ParamSpec kParams[] = {real_param("step", "1", 1e-6, 1e6, "scale of the lattice in units of the rms")};
constexpr std::string_view kPlanes[] = {"codes"};
constexpr size_t kDim = 8, kSymbols = 9;
constexpr int kBias = 32768;
constexpr float kMost = 32000;  // limit of |x| / step
constexpr float kLargestStep = 0x1p110f;

// State 0: the next symbol is a coset. State 1 + 4 p + 2 c + q: the next symbol is coordinate p in coset c, and the sum
// of the coordinates before it has the parity q.
std::shared_ptr<const FiniteState> make_machine() {
  auto machine = std::make_shared<FiniteState>();
  machine->num_states = 33;
  machine->num_contexts = 7;
  machine->classes = 2;
  machine->context = {0};
  machine->next = {1, 3};
  for (uint16_t p = 0; p < kDim; ++p) {
    for (uint16_t c = 0; c < 2; ++c) {
      for (uint16_t q = 0; q < 2; ++q) {
        const bool last = p + 1 == kDim;
        machine->context.push_back(static_cast<uint16_t>(last ? 3 + 2 * c + q : 1 + c));
        for (uint16_t bit = 0; bit < 2; ++bit) {
          machine->next.push_back(static_cast<uint16_t>(last ? 0 : 1 + 4 * (p + 1) + 2 * c + (q ^ bit)));
        }
      }
    }
  }
  return machine;
}

// Finds the point z + shift of D8 + shift that is nearest to y. Returns the squared distance.
float nearest_in_coset(const float* y, float shift, float* z) {
  float distance = 0, largest = -1, rest = 0;
  size_t worst = 0;
  int sum = 0;
  for (size_t i = 0; i < kDim; ++i) {
    const float t = y[i] - shift;
    z[i] = std::nearbyint(t);
    const float error = t - z[i];
    distance += error * error;
    sum += static_cast<int>(z[i]);
    if (std::abs(error) > largest) largest = std::abs(error), rest = error, worst = i;
  }
  if (sum & 1) {
    z[worst] += rest < 0 ? -1 : 1;
    distance += 1 - 2 * largest;  // change of the squared error: (1 - e)^2 - e^2
  }
  return distance;
}

class E8Quantizer final : public Quantizer {
 public:
  E8Quantizer(const Params&, Shape shape, ErrorKind) : shape_(shape) {}

  void fit(const Params& params, MatrixView<const float> x, const FitContext& ctx) {
    const double step = params.real("step");
    std::vector<double> squares(x.rows());
    std::vector<float> most(x.rows());
    parallel_for(x.rows(), [&](size_t r) {
      double sums[8] = {};
      for (size_t c = 0; c < x.cols(); ++c) {
        sums[c % 8] += static_cast<double>(x(r, c)) * static_cast<double>(x(r, c));
        most[r] = std::max(most[r], std::abs(x(r, c)));
      }
      for (const double s : sums) squares[r] += s;
    });
    double total = 0, largest = 0;
    for (size_t r = 0; r < x.rows(); ++r) {
      total += squares[r];
      largest = std::max(largest, static_cast<double>(most[r]));
    }
    if (total == 0) return;
    const double rms = std::sqrt(total / static_cast<double>(x.size()));
    // With error feedback, values become larger by the errors of other columns.
    const double least = largest / (ctx.feedback_scales.empty() ? 31'000 : 15'000);
    if (least > step * rms) {
      ctx.report_fallback(fmt::format("e8: step {:.3g} would clip, {:.3g} is taken", step, least / rms));
    }
    unit_ = static_cast<float>(std::clamp(std::max(step * rms, least), 0x1p-126, static_cast<double>(kLargestStep)));
    step_ = unit_;
    fit_step(x);
  }
  void load(ByteReader& side) {
    step_ = side.get<float>();
    if (!(step_ >= 0 && step_ <= kLargestStep)) {
      throw_input("{}: expected a step from 0 to 2^110, found {}", side.what(), step_);
    }
    unit_ = step_;
  }
  void save(ByteWriter& out) const override { out.put(step_); }

  std::vector<SymbolPlane> planes() const override {
    static const std::shared_ptr<const FiniteState> machine = make_machine();
    return {{.name = "codes",
             .rows = shape_.rows,
             .cols = kSymbols * ceil_div(shape_.cols, kDim),
             .alphabet = 65536,
             .contexts = machine}};
  }
  Granule granule() const override { return {1, kDim}; }
  Rect plane_rect(size_t /*plane*/, const Rect& at) const override {
    return {at.row, at.col / kDim * kSymbols, at.rows, ceil_div(at.cols, kDim) * kSymbols};
  }

  void quantize(const Rect& at, MatrixView<float> values, std::span<const MatrixView<Symbol>> symbols) const override {
    OCC_CHECK(symbols.size() == 1 && values.shape() == at.shape() && at.col % kDim == 0);
    for (size_t r = 0; r < at.rows; ++r) {
      Symbol* out = symbols[0].row(r);
      for (size_t c = 0; c < at.cols; c += kDim, out += kSymbols) {
        float z[2][kDim];
        const bool coset = nearest(values.row(r) + c, std::min(kDim, at.cols - c), z);
        int parity = 0;
        out[0] = static_cast<Symbol>(kBias + coset);
        for (size_t i = 0; i + 1 < kDim; ++i) {
          const int k = static_cast<int>(z[coset][i]);
          out[1 + i] = static_cast<Symbol>(kBias + k);
          parity ^= k & 1;
        }
        out[kDim] = static_cast<Symbol>(kBias + (static_cast<int>(z[coset][kDim - 1]) - parity) / 2);
      }
    }
    const MatrixView<const Symbol> const_symbols[] = {symbols[0]};
    dequantize(at, const_symbols, values);
  }

  void dequantize(const Rect& at, std::span<const MatrixView<const Symbol>> symbols,
                  MatrixView<float> out) const override {
    OCC_CHECK(symbols.size() == 1 && out.shape() == at.shape());
    for (size_t r = 0; r < at.rows; ++r) {
      const Symbol* s = symbols[0].row(r);
      for (size_t c = 0; c < at.cols; c += kDim, s += kSymbols) {
        int k[kDim], parity = 0;
        for (size_t i = 0; i + 1 < kDim; ++i) {
          k[i] = s[1 + i] - kBias;
          parity ^= k[i] & 1;
        }
        k[kDim - 1] = 2 * (s[kDim] - kBias) + parity;
        const float shift = s[0] & 1 ? 0.5f : 0.0f;
        for (size_t i = 0; i < std::min(kDim, at.cols - c); ++i) {
          out(r, c + i) = (static_cast<float>(k[i]) + shift) * step_;
        }
      }
    }
  }

 private:
  // Whether z[1] + 1/2 is nearer to the n <= 8 values x than z[0].
  bool nearest(const float* x, size_t n, float (*z)[kDim]) const {
    float y[kDim] = {};
    for (size_t i = 0; i < n && unit_ > 0; ++i) y[i] = std::clamp(x[i] / unit_, -kMost, kMost);
    return nearest_in_coset(y, 0.5f, z[1]) < nearest_in_coset(y, 0, z[0]);
  }

  // Sets the stored step to the one with the least squared error on evenly spaced rows.
  void fit_step(MatrixView<const float> x) {
    const size_t stride = std::max<size_t>(1, x.size() >> 17);
    double products = 0, squares = 0;
    for (size_t r = 0; r < x.rows(); r += stride) {
      for (size_t c = 0; c < x.cols(); c += kDim) {
        const size_t n = std::min(kDim, x.cols() - c);
        float z[2][kDim];
        const bool coset = nearest(x.row(r) + c, n, z);
        for (size_t i = 0; i < n; ++i) {
          const double point = static_cast<double>(z[coset][i]) + (coset ? 0.5 : 0);
          products += point * static_cast<double>(x(r, c + i) / unit_);
          squares += point * point;
        }
      }
    }
    if (squares > 0) step_ = static_cast<float>(static_cast<double>(unit_) * std::clamp(products / squares, 0.5, 1.0));
  }

  const Shape shape_;
  float unit_ = 0;  // step that is used to find lattice points
  float step_ = 0;  // step that is stored and used to decode
};

}  // namespace

QuantizerEntry e8_entry() {
  return {"e8",
          "points of the lattice E8 with one step for the matrix, to be entropy coded",
          kParams,
          kPlanes,
          fit_quantizer<E8Quantizer>,
          load_quantizer<E8Quantizer>};
}

}  // namespace occ
