// The stage `trellis`: entropy-coded trellis-coded quantization (ECTCQ; Fischer & Wang 1992, Marcellin 1994), which
// comes within 0.2 to 0.6 dB of the rate-distortion limit of a memoryless source at any rate.
//
//   value = k * factor[column],  k = 2 j + u       j: the symbol, u: the lowest bit of the state (trellis_code.h)
//
// In every column, tile by tile, the Viterbi algorithm chooses the j with the least sum of (x / factor - k)^2 +
// penalty(k) (trellis_rates.h). A state permits every second integer k only, so that k takes R bits where its own
// entropy would be R + 1, and the path through the trellis decides whether a value is taken from the even or the odd
// integers. The integers are therefore twice as fine as those of a scalar quantizer of the same rate. Symbols are coded
// with `rans` and u as context.
//
// factor = step * rms of the plane * 2^((code - 128) / 16). The codes, range-coded, are all 128 unless columns are
// coded with error feedback. With feedback factor_i is proportional to 1 / L_ii, which distributes the weighted error
// evenly (water-filling, WaterSIC, arXiv 2603.04956); a common step would waste 1/2 log2(AM / GM of L_ii^2) bits.
//
// In the encoder, rows and columns are sorted into classes by their scale, so that the penalties suit each value
// although the step is common. The probabilities of the classes are learnt from a sample of at most 2^17 values; the
// number of passes depends on `effort`. What differs from the literature: there are no fitted centroids (they gain at
// most 0.007 dB), and there are classes instead of one distribution.
#include "quantization/trellis.h"

#include <algorithm>
#include <array>
#include <cfloat>
#include <cmath>
#include <optional>

#include "base/check.h"
#include "base/error.h"
#include "base/parallel.h"
#include "quantization/make.h"
#include "quantization/trellis_columns.h"
#include "quantization/trellis_feedback.h"
#include "quantization/trellis_kernels.h"
#include "quantization/trellis_rates.h"
#include "simd/panel.h"

namespace occ {
namespace {

constexpr ParamSpec kParams[] = {
    int_param("states", "8", 4, 256, "states of the trellis: a power of two"),
    real_param("step", "0.5", 1e-6, 1e6, "spacing of the integers k, in units of the rms of the values"),
};
constexpr std::string_view kPlanes[] = {"codes"};

constexpr size_t kBlockColumns = 64;
constexpr size_t kSampleValues = size_t{1} << 17;
// With smaller factors, factors and their reciprocals would lose precision.
constexpr float kSmallestFactor = 0x1p-120f;
constexpr double kMostSteps = 65000;  // largest |k|
constexpr size_t kFewValues = 4096;   // fewer values are too few to learn probabilities from

class TrellisQuantizer final : public Quantizer {
 public:
  TrellisQuantizer(const Params& params, Shape shape, ErrorKind)
      : shape_(shape), code_(trellis_code(states_of(params))), machine_(trellis_machine(code_)) {
    tile_rows_ = tile_rows(planes()[0]);
  }

  void fit(const Params& params, MatrixView<const float> x, const FitContext& ctx) {
    const double step = params.real("step");
    rates_ = std::make_unique<TrellisRates>(step);
    const std::vector<double> row_squares = fit_factors(step, x, ctx);
    fit_rows(row_squares);
    const int passes = ctx.effort <= 1 ? 0 : ctx.effort <= 4 ? 1 : ctx.effort <= 7 ? 2 : 3;
    for (int pass = 0; pass < passes && base_ > 0 && x.size() >= kFewValues; ++pass) learn_rates(x);
    if (ctx.row_gains.size() != 0) {
      OCC_CHECK(ctx.row_gains.rows() == x.rows());
      feedback_.emplace(ctx.row_gains);
    }
  }

  void load(ByteReader& side) {
    base_ = side.get<float>();
    if (!(base_ >= 0 && base_ <= kLargestColumnFactor)) {
      throw_input("{}: expected a finite step >= 0, found {}", side.what(), base_);
    }
    codes_ = load_column_codes(shape_.cols, side);
    make_factors();
    for (size_t c = 0; c < shape_.cols; ++c) {
      if (factors_[c] > kLargestColumnFactor) {
        throw_input("{}: the step of column {} is so large that decoded values would not be finite", side.what(), c);
      }
    }
  }

  std::vector<SymbolPlane> planes() const override {
    return {{.name = "codes",
             .rows = shape_.rows,
             .cols = shape_.cols,
             .alphabet = kTrellisAlphabet,
             .lines = LineAxis::kColumns,
             .contexts = machine_}};
  }
  Granule granule() const override { return {tile_rows_, 1}; }

  void quantize(const Rect& at, MatrixView<float> values, std::span<const MatrixView<Symbol>> symbols) const override {
    OCC_CHECK(symbols.size() == 1 && values.shape() == at.shape() && symbols[0].shape() == at.shape());
    OCC_CHECK(at.row % tile_rows_ == 0 && rates_ != nullptr);
    if (values.size() == 0) return;
    // A task codes some columns of one tile, or some tiles of one column at the same time.
    const size_t tiles = ceil_div(at.rows, tile_rows_);
    const size_t tiles_at_once = at.cols == 1 ? kTrellisAtOnce : 1;
    const size_t blocks = ceil_div(at.cols, kBlockColumns);
    parallel_for(ceil_div(tiles, tiles_at_once) * blocks, [&](size_t task) {
      const size_t row = task / blocks * tiles_at_once * tile_rows_, col = task % blocks * kBlockColumns;
      const Rect part{row, col, std::min(tiles_at_once * tile_rows_, at.rows - row),
                      std::min(kBlockColumns, at.cols - col)};
      Walks walks(*this, {at.row + row, at.col + col, part.rows, part.cols}, values.sub(part));
      walks.run();
      walks.store(values.sub(part), symbols[0].sub(part));
    });
  }

  void dequantize(const Rect& at, std::span<const MatrixView<const Symbol>> symbols,
                  MatrixView<float> out) const override {
    OCC_CHECK(symbols.size() == 1 && out.shape() == at.shape() && symbols[0].shape() == at.shape());
    for_each_tile(at, [&](const Rect& tile) {
      trellis_dequantize(code_, symbols[0].sub(tile), factors_.data() + at.col, out.sub(tile));
    });
  }

  std::optional<IntegerView> integer_view() const override {
    IntegerView view;
    view.column_factors = factors_;
    view.bias = kTrellisBias;
    view.machine = machine_.get();
    view.restart_rows = tile_rows_;
    return view;
  }
  void integers(const Rect& at, std::span<const MatrixView<const Symbol>> symbols,
                MatrixView<int32_t> out) const override {
    for_each_tile(at, [&](const Rect& tile) { trellis_integers(code_, symbols[0].sub(tile), out.sub(tile)); });
  }

  void save(ByteWriter& out) const override {
    out.put(base_);
    save_column_codes(codes_, shape_.rows, out);
  }

 private:
  // The Viterbi searches of one task: for the columns of a tile, or for some tiles of one column. The values of each
  // segment are contiguous.
  class Walks {
   public:
    Walks(const TrellisQuantizer& q, const Rect& at, MatrixView<const float> values) : q_(q), at_(at) {
      if (at.cols == 1) {
        for (size_t row = 0; row < at.rows; row += q.tile_rows_) {
          segments_.push_back({row, std::min(q.tile_rows_, at.rows - row), row, 0});
        }
        stride_ = at.rows;
      } else {
        stride_ = at.rows + 16;  // with a stride of a power of two bytes, columns would share cache sets
        for (size_t c = 0; c < at.cols; ++c) segments_.push_back({0, at.rows, c * stride_, 0});
      }
      values_ = Matrix<float>::uninitialized(at.cols, stride_);
      transpose(values, columns());
      for (size_t c = 0; c < at.cols; ++c) {
        const float factor = q.factors_[at.col + c];
        const float inverse = factor > 0 ? 1 / std::max(factor, FLT_MIN) : 0;
        float* column = values_.row(c);
        for (size_t r = 0; r < at.rows; ++r) column[r] *= inverse;
      }
    }

    void run() {
      if (q_.feedback_) return run_with_feedback();
      size_t longest = 0;
      for (const Segment& s : segments_) longest = std::max(longest, s.rows);
      const size_t decision_bytes = trellis_decision_bytes(q_.code_.states, longest);
      offsets_.resize(longest);
      for (Slot& slot : slots_) {
        slot.error.resize(longest);
        slot.entry.resize(longest);
        slot.k0.resize(longest);
        slot.decisions.resize(decision_bytes);
      }
      for (size_t i = 0; i < segments_.size();) {
        TrellisSegment work[kTrellisAtOnce];
        size_t count = 0;
        for (; count < kTrellisAtOnce && i + count < segments_.size(); ++count) {
          if (segments_[i + count].rows != segments_[i].rows) break;
          work[count] = prepare(segments_[i + count], slots_[count]);
        }
        trellis_viterbi(q_.code_, segments_[i].rows, q_.rates_->table(), q_.rates_->lambda(), work, count);
        i += count;
      }
    }

    void store(MatrixView<float> values, MatrixView<Symbol> symbols) const {
      float factors[kBlockColumns];
      for (size_t c = 0; c < at_.cols; ++c) factors[c] = q_.factors_[at_.col + c];
      transpose(columns(), values);
      for (size_t r = 0; r < at_.rows; ++r) {
        float* value = values.row(r);
        Symbol* symbol = symbols.row(r);
        for (size_t c = 0; c < at_.cols; ++c) {
          const auto k = static_cast<int32_t>(value[c]);
          symbol[c] = static_cast<Symbol>((k >> 1) + static_cast<int32_t>(kTrellisBias));
          value[c] *= factors[c];
        }
      }
    }

    void count(TrellisRates::Counts& counts) const {
      for (const Segment& s : segments_) {
        for (size_t t = 0; t < s.rows; ++t) {
          const auto k = static_cast<int32_t>(values_.data()[s.first + t]);
          if (std::abs(k) > kTrellisReach) continue;
          ++counts[static_cast<size_t>(TrellisRates::offset(s.cls + q_.row_classes_[at_.row + s.row + t]) + k)];
        }
      }
    }

   private:
    struct Segment {
      size_t row, rows;  // first row and number of rows in the task
      size_t first;      // index of the first value in values_
      int cls;           // class of its column
    };

    // The columns of the task as rows of a matrix [cols, rows].
    MatrixView<float> columns() { return {values_.data(), at_.cols, at_.rows, stride_}; }
    MatrixView<const float> columns() const { return {values_.data(), at_.cols, at_.rows, stride_}; }

    struct Slot {
      std::vector<float> error;
      std::vector<int32_t> entry, k0;
      std::vector<uint8_t> decisions;
    };

    void run_with_feedback() {
      for (Segment& s : segments_) {
        offsets_.resize(s.rows);
        classify(s);
        q_.feedback_->walk(q_.code_, at_.row + s.row, s.rows, q_.rates_->shrink(s.cls), offsets_.data(),
                           q_.rates_->table(), q_.rates_->lambda(), values_.data() + s.first);
      }
    }

    // Finds the class of the segment, and the place of the penalties of each of its values.
    void classify(Segment& s) {
      const float* x = values_.data() + s.first;
      const size_t row = at_.row + s.row;
      const float* scale = &q_.inverse_row_scales_[row];
      double total = 0;
      for (size_t t = 0; t < s.rows;) {  // eight sums at the same time
        float squares[8] = {};
        for (const size_t end = std::min(s.rows, t + 64); t + 8 <= end; t += 8) {
          for (size_t i = 0; i < 8; ++i) squares[i] += x[t + i] * scale[t + i] * (x[t + i] * scale[t + i]);
        }
        for (; t < s.rows && s.rows - t < 8; ++t) squares[0] += x[t] * scale[t] * (x[t] * scale[t]);
        for (const float v : squares) total += double{v};
      }
      s.cls = TrellisRates::class_of(std::sqrt(total / static_cast<double>(s.rows)));
      for (size_t t = 0; t < s.rows; ++t) offsets_[t] = TrellisRates::offset(s.cls + q_.row_classes_[row + t]);
    }

    TrellisSegment prepare(Segment& s, Slot& slot) {
      float* x = values_.data() + s.first;
      classify(s);
      const TrellisBranches branches{slot.error.data(), slot.entry.data(), slot.k0.data()};
      trellis_branches(x, s.rows, q_.rates_->shrink(s.cls), offsets_.data(), branches);
      // The integers k are written to the memory of the values.
      return {branches, slot.decisions.data(), x};
    }

    const TrellisQuantizer& q_;
    const Rect at_;
    size_t stride_ = 0;
    std::vector<Segment> segments_;
    Matrix<float> values_;  // [cols, stride]
    std::vector<int32_t> offsets_;
    std::array<Slot, kTrellisAtOnce> slots_;
  };

  static uint32_t states_of(const Params& params) {
    const auto states = static_cast<uint32_t>(params.integer("states"));
    if ((states & (states - 1)) != 0) throw_usage("trellis: expected a power of two as states, found {}", states);
    return states;
  }

  template <typename Body>
  void for_each_tile(const Rect& at, const Body& body) const {
    OCC_CHECK(at.row % tile_rows_ == 0);
    for (size_t row = 0; row < at.rows; row += tile_rows_) {
      body(Rect{row, 0, std::min(tile_rows_, at.rows - row), at.cols});
    }
  }

  void make_factors() {
    factors_.assign(shape_.cols, base_);
    for (size_t c = 0; c < codes_.size(); ++c) factors_[c] = column_factor(base_, codes_[c]);
  }

  // Returns the L_ii of a column whose factor is step * rms. It is that of an H without correlations and with the same
  // trace, so that a step stands for the same weighted error for every H.
  static double feedback_reference(const FitContext& ctx) {
    double sum = 0;
    const size_t n = ctx.feedback_scales.size();
    for (size_t i = 0; i < n; ++i) {
      const double l = ctx.feedback_scales[i];
      sum += ctx.hessian.size() != 0 ? ctx.hessian(i, i) : l * l;
    }
    return std::sqrt(sum / static_cast<double>(n));
  }

  // Chooses the factors. Returns the sum of squares of every row.
  std::vector<double> fit_factors(double step, MatrixView<const float> x, const FitContext& ctx) {
    std::vector<double> squares(x.rows());
    std::vector<float> row_largest(x.rows());
    constexpr size_t kRowsAtOnce = 64;
    parallel_for(ceil_div(x.rows(), kRowsAtOnce), [&](size_t task) {
      for (size_t r = task * kRowsAtOnce; r < std::min(x.rows(), (task + 1) * kRowsAtOnce); ++r) {
        double sums[8] = {};
        const float* row = x.row(r);
        float most[8] = {};
        for (size_t c = 0; c < x.cols(); ++c) {
          sums[c % 8] += double{row[c]} * double{row[c]};
          most[c % 8] = std::max(most[c % 8], std::fabs(row[c]));
        }
        for (const double s : sums) squares[r] += s;
        row_largest[r] = *std::max_element(most, most + 8);
      }
    });
    double total = 0, largest = 0;
    for (const double s : squares) total += s;
    for (const float v : row_largest) largest = std::max(largest, double{v});
    const double rms = x.size() == 0 ? 0 : std::sqrt(total / static_cast<double>(x.size()));
    // k has 17 bits, so a finer step could not represent the largest value. With error feedback, values become larger
    // by the errors of other columns.
    const double least = largest / (ctx.feedback_scales.empty() ? kMostSteps : kMostSteps / 2);
    const double wanted = std::max(step * rms, least);
    base_ = static_cast<float>(std::min(wanted, double{kLargestColumnFactor}));
    if (wanted > step * rms)
      ctx.report_fallback(fmt::format("trellis: step {:.3g} would clip, {:.3g} is taken", step, wanted / rms));
    if (rms > 0 && (wanted > kLargestColumnFactor || base_ < kSmallestFactor)) {
      ctx.report_fallback(
          fmt::format("trellis: values of rms {:.3g} are near the end of the range of f32, steps are not", rms));
    }
    if (!ctx.feedback_scales.empty() && base_ > 0) {
      OCC_CHECK(ctx.feedback_scales.size() == x.cols());
      const double reference = std::log2(feedback_reference(ctx));
      std::vector<double> octaves;
      for (const double l : ctx.feedback_scales) octaves.push_back(reference - std::log2(l));
      codes_ = choose_column_codes(octaves, shape_.rows, base_, least);
    }
    make_factors();
    return squares;
  }

  void fit_rows(const std::vector<double>& squares) {
    double total = 0;
    for (const double s : squares) total += s;
    const double mean = squares.empty() ? 0 : total / static_cast<double>(squares.size());
    for (const double s : squares) {
      const double octaves = s > 0 ? std::clamp(0.5 * std::log2(s / mean), -12.0, 12.0) : -12;
      const auto cls = static_cast<int>(std::lrint(octaves * TrellisRates::kPerOctave));
      row_classes_.push_back(cls);
      inverse_row_scales_.push_back(std::exp2(static_cast<float>(-cls) / TrellisRates::kPerOctave));
    }
  }

  // Makes one pass over evenly spaced segments and learns probabilities from it.
  void learn_rates(MatrixView<const float> x) {
    const size_t tiles = ceil_div(x.rows(), tile_rows_);
    const size_t wanted = std::max<size_t>(1, kSampleValues / std::min(x.rows(), tile_rows_));
    const size_t all = tiles * x.cols(), segments = std::min(all, wanted);
    if (segments == 0) return;
    // For each task; sums of integers do not depend on the order.
    std::vector<TrellisRates::Counts> counts(std::clamp<size_t>(segments / 16, 1, 8));
    parallel_for(counts.size(), [&](size_t task) {
      counts[task].resize(size_t{TrellisRates::kClasses} * kTrellisTable);
      for (size_t i = task; i < segments; i += counts.size()) {
        // Columns are evenly spaced and tiles are taken in turn. A single stride over both could always meet the same
        // tile.
        const size_t col = segments == all ? i % x.cols() : i * x.cols() / segments;
        const size_t tile = segments == all ? i / x.cols() : tiles <= segments ? i % tiles : i * tiles / segments;
        const Rect part{tile * tile_rows_, col, std::min(tile_rows_, x.rows() - tile * tile_rows_), 1};
        Walks walks(*this, part, x.sub(part));
        walks.run();
        walks.count(counts[task]);
      }
    });
    for (size_t task = 1; task < counts.size(); ++task) {
      for (size_t i = 0; i < counts[0].size(); ++i) counts[0][i] += counts[task][i];
    }
    rates_->refine(counts[0]);
  }

  const Shape shape_;
  const TrellisCode code_;
  const std::shared_ptr<const FiniteState> machine_;
  size_t tile_rows_ = 1;
  float base_ = 0;
  std::vector<uint8_t> codes_;  // [cols], or empty
  std::vector<float> factors_;  // [cols] decoded value = k * factor
  // The following members are only used by the encoder.
  std::vector<int> row_classes_;           // [rows] classes relative to the mean
  std::vector<float> inverse_row_scales_;  // [rows]
  std::unique_ptr<TrellisRates> rates_;
  std::optional<TrellisFeedback> feedback_;  // for error feedback from row to row
};

}  // namespace

QuantizerEntry trellis_entry() {
  return {"trellis",
          "trellis-coded quantization of columns, to be entropy coded: near the rate-distortion limit",
          kParams,
          kPlanes,
          fit_quantizer<TrellisQuantizer>,
          load_quantizer<TrellisQuantizer>};
}

}  // namespace occ
