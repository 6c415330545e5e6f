#include "compress/analysis.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "base/glob.h"
#include "base/interrupt.h"
#include "base/option_name.h"
#include "base/parallel.h"
#include "compress/analysis_stages.h"
#include "compress/coordinates.h"
#include "compress/estimate.h"
#include "compress/plan.h"
#include "metrics/concentration.h"
#include "metrics/limits.h"
#include "metrics/rate.h"
#include "recipe/nodes.h"
#include "transforms/axis.h"

namespace occ {
namespace {

constexpr size_t kSampleElements = size_t{1} << 23;  // tensors of up to twice as many weights are measured whole
constexpr double kSameError = 0.01;                  // octaves of the error within which two errors count as equal
constexpr int kTrials = 3;                           // how often a system is coded, to reach the error of the identity
constexpr size_t kMostMeaningfulCode = 1 << 15;

// A coordinate system to be measured.
struct System {
  std::string name;
  Coordinates coordinates;
  std::optional<FirstTerm> term = std::nullopt;  // for a sum: its first term, and what that leaves of the sample
};

double rms_of(MatrixView<const float> x) {
  ConcentrationAccumulator a;
  a.add(x);
  return a.rms();
}

// Returns the step, in units of the rms, at which rounded Gaussian values have about this entropy: h(N(0, 1)) -
// log2(step) = bits, where h is the differential entropy.
double uniform_step(double bits) { return std::sqrt(2 * std::numbers::pi * std::numbers::e) * std::exp2(-bits); }

// Returns the entropy of the values, rounded to multiples of the step, in bits per value.
double rounded_entropy(MatrixView<const float> x, double step) {
  std::vector<uint64_t> counts(2 * kMostMeaningfulCode + 1);
  const double most = kMostMeaningfulCode;
  for (size_t r = 0; r < x.rows() && step > 0; ++r) {
    for (size_t c = 0; c < x.cols(); ++c) {
      ++counts[static_cast<size_t>(std::lround(std::clamp(double{x(r, c)} / step, -most, most) + most))];
    }
  }
  return entropy_bits(counts);
}

// SystemFigures::histogram.
std::vector<double> histogram_of(MatrixView<const float> x, double rms) {
  std::vector<double> out(SystemFigures::kBins);
  constexpr double kMiddle = (SystemFigures::kBins - 1) / 2;
  const double scale = rms > 0 ? 1 / (rms * SystemFigures::kBinWidth) : 0;
  const double share = 1 / static_cast<double>(std::max<size_t>(1, x.size()));
  std::vector<uint64_t> counts(out.size());
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t c = 0; c < x.cols(); ++c) {
      const double bin = std::clamp(std::round(double{x(r, c)} * scale), -kMiddle, kMiddle);
      ++counts[static_cast<size_t>(bin + kMiddle)];
    }
  }
  for (size_t i = 0; i < out.size(); ++i) out[i] = share * static_cast<double>(counts[i]);
  return out;
}

std::vector<double> component_energies(MatrixView<const float> x, bool of_columns) {
  std::vector<double> out(of_columns ? x.cols() : x.rows());
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t c = 0; c < x.cols(); ++c) out[of_columns ? c : r] += double{x(r, c)} * double{x(r, c)};
  }
  return out;
}

class TensorAnalyzer {
 public:
  TensorAnalyzer(const TensorFile& source, const PlannedTensor& tensor, const AnalysisOptions& options)
      : options_(options),
        method_(Method::parse("trellis")),
        what_(tensor_name(source, tensor.index)),
        shape_(tensor.shape),
        step_(trellis_step(options.bits)),
        x_(sample_rows(TensorRows(source, tensor.index), kSampleElements)) {
    const TensorInfo& info = source.tensors()[tensor.index];
    out_.name = info.name;
    out_.shape = info.shape;
    out_.elements = shape_.size();
    out_.sampled_rows = x_.rows();
    out_.rows = shape_.rows;
    context_.seed = options.seed;
    context_.effort = options.effort;
    if (options.moments) moments_ = options.moments(info.name, shape_.cols);
    if (moments_) {
      context_.hessian = moments_->h.view();
      context_.damping = damping_at(options.bits, moments_->profile);
    }
    out_.weighted = moments_ != nullptr;
  }

  TensorAnalysis run() {
    const Estimate first = estimate({}, 1);  // throws if a value is not finite
    out_.error = error_of(first);
    rms_ = rms_of(x_.view());
    SystemFigures identity = figures({"identity", {}});
    identity.bits = rate_of(first);
    out_.systems.push_back(identity);
    // An error of 0 leaves nothing to compare.
    if (!(out_.error > 0 && std::isfinite(out_.error))) return std::move(out_);

    const std::vector<System> systems = all_systems(*identity.bits);
    std::vector<std::optional<SystemFigures>> measured(systems.size());
    parallel_for(systems.size(), [&](size_t i) {
      try {
        measured[i] = measure(systems[i], *identity.bits);
      } catch (const Error& e) {
        if (e.kind() != ErrorKind::kUsage) throw;  // the transform cannot be applied to this shape
      }
    });
    // The error of a code is random, and so are its bits, by about 1 / sqrt(weights).
    const double least = std::max(kWorthwhileBits, 3 / std::sqrt(static_cast<double>(x_.size())));
    for (std::optional<SystemFigures>& m : measured) {
      if (!m) continue;
      const double saved = m->bits ? *identity.bits - *m->bits : 0;
      if (saved >= least && saved > out_.gain) out_.gain = saved, out_.best = out_.systems.size();
      out_.systems.push_back(std::move(*m));
    }
    return std::move(out_);
  }

 private:
  double rate_of(const Estimate& e) const { return 8 * (e.bytes - e.padding) / static_cast<double>(shape_.size()); }
  double error_of(const Estimate& e) const { return out_.weighted ? *e.weighted_error : e.nmse; }
  Estimate estimate(const Coordinates& coordinates, double factor) const {
    const Recipe code = method_.recipe_at(step_ * factor, options_.effort);
    return estimate_blob(coordinates.around(code), x_.view(), shape_.rows, context_, what_);
  }

  std::vector<System> all_systems(double rate) const {
    std::vector<System> out;
    const AnalyzedMatrix matrix{shape_, x_.rows(), out_.weighted, options_.seed};
    for (const TransformEntry& entry : transform_registry()) {
      std::vector<std::string> forms;
      if (entry.roles.forms != nullptr) {
        forms = entry.roles.forms(matrix);
      } else if (entry.roles.candidate != nullptr) {
        forms.push_back(entry.roles.candidate(shape_, x_.rows(), options_.seed));
      }
      for (const std::string& form : forms) {
        if (form.empty() || shape_.cols < 2) continue;
        const size_t last = form.rfind('>');
        const std::string name = last == std::string::npos ? form : form.substr(last + 2);
        out.push_back({name, {.transforms = form, .unit_rms = entry.roles.unit_rms}});
      }
    }
    // Takes the best first term even if it costs more bits than it saves.
    constexpr double kAnyGain = -1e9;
    FitContext plain = context_;
    plain.hessian = {};
    for (FirstTermTrial& t : find_first_terms(MatrixSource(x_.view()), x_.view(), rate, kAnyGain, plain)) {
      out.push_back({std::string(t.name), std::move(t.coordinates), std::move(t.term)});
    }
    return out;
  }

  SystemFigures measure(const System& system, double most_bits) const {
    double factor = 1;
    SystemFigures out = figures(system, &factor);
    if (out.side_bits < most_bits) out.bits = bits_at_equal_error(system.coordinates, factor);
    return out;
  }

  // Measures everything except the bits. `factor` receives the factor of the step at which the error is about that of
  // the identity.
  SystemFigures figures(const System& system, double* factor = nullptr) const {
    SystemFigures out;
    out.name = system.name;
    out.recipe = system.coordinates.first_term.empty() ? system.coordinates.transforms : system.term->stage;
    Matrix<float> y = system.term ? system.term->residual.clone() : x_.clone();
    bool of_columns = true;
    if (system.term) out.side_bits = system.term->bits;
    if (!system.coordinates.transforms.empty()) {
      const Recipe recipe = system.coordinates.around(method_.recipe_at(step_, options_.effort));
      const Chain& chain = recipe.terms[0];
      const double share = static_cast<double>(shape_.rows) / static_cast<double>(y.rows());
      for (size_t i = 0; i < num_transforms(chain); ++i) {
        const TransformEntry& entry = *find_transform(chain.stages[i].name);
        const auto transform = transform_fit(entry)(chain.stages[i].params, y.view(), context_);
        const MatrixView<float> view = y.view();
        transform->forward({0, 0, y.rows(), y.cols()}, view, {&view, 1});
        ByteWriter side;
        transform->save(side);
        out.side_bits += bits_per_weight(side.size(), shape_.size()) * (transform->traits().side_grows ? share : 1);
        of_columns &= transform->traits().row_local;
      }
    }
    const ConcentrationAccumulator a = measure_concentration(y.view());
    out.max_over_rms = a.max_over_rms();
    out.beyond_3_sigma = a.beyond_3_sigma();
    out.kurtosis = a.kurtosis();
    out.top_1 = a.top_energy(0.01);
    out.top_5 = a.top_energy(0.05);
    out.top_10 = a.top_energy(0.1);
    out.histogram = histogram_of(y.view(), a.rms());
    const std::vector<double> energies = component_energies(y.view(), of_columns);
    out.effective_rank = participation_ratio(energies);
    out.coding_gain = coding_gain_bits(energies, gaussian_distortion(options_.bits));
    const bool unit_rms = system.coordinates.unit_rms;
    out.entropy = rounded_entropy(y.view(), uniform_step(options_.bits) * (unit_rms ? a.rms() : rms_));
    if (factor != nullptr) *factor = unit_rms || a.rms() == 0 ? 1 : rms_ / a.rms();
    return out;
  }

  // Returns the bits per weight at the error of the identity.
  std::optional<double> bits_at_equal_error(const Coordinates& coordinates, double factor) const {
    double last_bits = 0, last_octaves = 0;
    for (int trial = 0;; ++trial) {
      const Estimate e = estimate(coordinates, factor);
      const double bits = rate_of(e), octaves = std::log2(error_of(e) / out_.error);
      if (!std::isfinite(octaves)) return std::nullopt;
      if (std::fabs(octaves) <= kSameError) return bits + octaves / 2;
      if (trial + 1 == kTrials) {
        const double change = octaves - last_octaves;
        if (std::fabs(octaves) > 1) return std::nullopt;
        return std::fabs(change) < kSameError ? bits + octaves / 2 : bits - octaves * (bits - last_bits) / change;
      }
      factor *= std::exp2(-octaves / 2);
      last_bits = bits;
      last_octaves = octaves;
    }
  }

  const AnalysisOptions& options_;
  const Method method_;
  const std::string what_;
  const Shape shape_;
  const double step_;
  const Matrix<float> x_;  // all rows of the matrix, or a sample of them
  std::shared_ptr<const Moments> moments_;
  FitContext context_;
  double rms_ = 0;
  TensorAnalysis out_;
};

}  // namespace

std::vector<TensorAnalysis> analyze_tensors(const TensorFile& source, const AnalysisOptions& options) {
  register_analysis_stages();
  CompressOptions planned;
  if (!options.tensor.empty()) planned.tensors.emplace_back(options.tensor, "trellis");
  std::vector<PlannedTensor> plan = plan_tensors(source, planned);
  std::erase_if(plan, [&](const PlannedTensor& t) {
    return t.kept() || (!options.tensor.empty() && !glob_match(options.tensor, source.tensors()[t.index].name));
  });
  if (plan.empty()) throw_usage("{}: expected a tensor that can be coded, found none", source.path());
  if (options.moments && std::none_of(plan.begin(), plan.end(), [&](const PlannedTensor& t) {
        return options.moments(source.tensors()[t.index].name, t.shape.cols) != nullptr;
      })) {
    throw_input("{}: expected a tensor whose inputs have second moments, found none of their width", source.path());
  }
  uint64_t done = 0, total = 0;
  for (const PlannedTensor& t : plan) total += t.shape.size();
  std::vector<TensorAnalysis> out;
  for (const PlannedTensor& t : plan) {
    throw_if_interrupted();
    if (options.progress) options.progress(done, total);
    done += t.shape.size();
    if (options.known) {
      if (std::optional<TensorAnalysis> known = options.known(source.tensors()[t.index].name)) {
        out.push_back(std::move(*known));
        continue;
      }
    }
    out.push_back(TensorAnalyzer(source, t, options).run());
    if (options.finished) options.finished(out.back());
  }
  if (options.progress) options.progress(done, total);
  return out;
}

}  // namespace occ
