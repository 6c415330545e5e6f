// The compression job: plans what is done with every tensor, codes the tensors at the rate asked for and joins the
// parts into an archive.
#include "occ/compress.h"

#include <sys/resource.h>

#include <chrono>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/option_name.h"
#include "base/outputs.h"
#include "base/parallel.h"
#include "compress/calibration_source.h"
#include "compress/coded_view.h"
#include "compress/fit_contexts.h"
#include "compress/integers_as_reals.h"
#include "compress/join.h"
#include "compress/matrix_file.h"
#include "compress/meter.h"
#include "compress/part_coder.h"
#include "compress/plan.h"
#include "compress/rate_control.h"
#include "compress/report.h"
#include "container/archive_file.h"

namespace occ {
namespace {

void check_options(const CompressOptions& o) {
  const std::string bits = option_name("bits"), ratio = option_name("ratio"), size = option_name("size"),
                    nmse = option_name("nmse");
  if (o.bits.has_value() + o.ratio.has_value() + o.size.has_value() + o.nmse.has_value() > 1) {
    throw_usage("expected at most one of {}, {}, {} and {}", bits, ratio, size, nmse);
  }
  if (!o.recipe.empty() && (o.bits || o.ratio || o.size || o.nmse)) {
    throw_usage("{} fixes the rate itself, it does not go with {}, {}, {} or {}", option_name("recipe"), bits, ratio,
                size, nmse);
  }
  if (o.bits && !(*o.bits > 0 && *o.bits <= 32)) throw_usage("{}: expected a number above 0 and up to 32", bits);
  if (o.nmse && !(*o.nmse > 0 && *o.nmse < 1)) throw_usage("{}: expected a number between 0 and 1", nmse);
  if (o.effort < 1 || o.effort > 9) throw_usage("{}: expected 1 to 9, found {}", option_name("effort"), o.effort);
  if (o.ratio && !(*o.ratio > 0 && std::isfinite(*o.ratio))) throw_usage("{}: expected a positive number", ratio);
}

void check_names(const TensorFile& source) {
  for (const TensorInfo& t : source.tensors()) {
    if (t.name == "__metadata__" || t.name.starts_with(kSideFilePrefix)) {
      throw_input("{}: tensor '{}': its name is reserved", source.path(), t.name);
    }
  }
}

class CompressJob {
 public:
  CompressJob(const TensorFile& source, const std::filesystem::path& output, const CompressOptions& options,
              MatrixView<const double> hessian, CalibrationSource* calibration)
      : source_(source),
        output_(output),
        options_(options),
        calibration_(calibration),
        contexts_(source, options, hessian, calibration),
        meter_(options.progress),
        plan_(plan_tensors(source, options)),
        join_(source, contexts_, options.seed),
        coder_(source, options, contexts_, &meter_, &notes_) {
    contexts_.prepare(&plan_, &notes_);
    rates_.emplace(source, options, plan_, contexts_, coder_.parts(), join_);
  }

  // Checks everything that can be known before anything is measured or coded.
  void check() {
    if (!options_.dry_run) {
      require_not_input(output_, source_.path());
      require_writable_target(output_, options_.force);
      require_no_parts(output_, options_.resume, options_.force);
    }
    rates_->check();
  }

  CompressReport run(const AcceptArchive& accept) {
    const auto start = std::chrono::steady_clock::now();
    if (options_.dry_run) return report_without_coding();
    check();
    coder_.open_store(output_, describe());
    uint64_t file_bytes = 0;
    try {
      code();
      file_bytes = join_.write(
          output_, plan_, coder_.parts(), [this](size_t i) { return coder_.bytes(i); }, options_, &meter_, accept);
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::kFailed) coder_.remove_store();  // a resumed run would fail again
      throw;
    }
    coder_.remove_store();
    CompressReport out = report(file_bytes);
    out.verified = options_.verify;
    out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    struct rusage usage = {};
    if (::getrusage(RUSAGE_SELF, &usage) == 0) out.peak_bytes = static_cast<uint64_t>(usage.ru_maxrss) * 1024;
    return out;
  }

 private:
  const std::string& name(const PlannedTensor& t) const { return source_.tensors()[t.index].name; }

  // Describes everything that the bytes of the parts depend on.
  std::string describe() const {
    std::error_code ec;
    std::string out = fmt::format("{}\nformat {}\ninput {} {}\n", tool_name(), kFormatVersion,
                                  std::filesystem::weakly_canonical(source_.path(), ec).string(), source_.file_bytes());
    out += describe_files(source_.path());
    for (const std::string& note : source_.notes()) out += "note " + note + "\n";  // an adapter, mended tensors
    out += fmt::format("rate {} {} {} {}\n", options_.bits.value_or(0), options_.ratio.value_or(0),
                       options_.size.value_or(0), options_.nmse.value_or(0));
    out += fmt::format("seed {} effort {}\n", options_.seed, options_.effort);
    for (const PlannedTensor& t : plan_) {
      if (t.sensitivity != 1) out += fmt::format("sensitivity {} {}\n", name(t), t.sensitivity);
    }
    out += contexts_.describe();
    for (const PlannedTensor& t : plan_) {
      out += fmt::format("{} {}\n", name(t), t.method ? t.method->print() : t.kept() ? "keep" : t.recipe);
    }
    return out;
  }

  // Makes the part of every tensor, in as many attempts as the rate needs.
  void code() {
    for (const PlannedTensor& t : plan_) {
      if (t.kept()) coder_.keep(t);
    }
    uint64_t all = 0, adjustable = 0;  // bytes of the weights as f32
    for (const PlannedTensor& t : plan_) all += t.kept() ? 0 : t.shape.size() * sizeof(float);
    require_free_space(output_, all / 4);
    meter_.start("compress", all);
    for (PlannedTensor& t : plan_) {  // fixed recipes first, because their sizes decide how much is left for the others
      if (!t.method && !t.kept()) coder_.code(&t, rates_->sizes().target_bits());
    }
    const std::vector<size_t> order = contexts_.coding_order(plan_);
    for (const PlannedTensor& t : plan_) adjustable += t.method ? t.shape.size() * sizeof(float) : 0;
    if (calibration_ != nullptr) {
      std::set<std::string> to_be_coded;
      for (const PlannedTensor& t : plan_) {
        if (t.method) to_be_coded.insert(name(t));
      }
      calibration_->start(to_be_coded);
    }
    for (bool first = true;; first = false) {
      rates_->set_recipes();
      if (!first) meter_.start("adjust", adjustable);  // tensors that do not change take no time
      code_attempt(order, first);
      if (rates_->accept(total_nmse(coder_.parts()))) break;
    }
    if (calibration_ != nullptr) coder_.tune(&plan_, calibration_, coded_);
    coder_.finish_saving();
  }

  // Codes all tensors whose rate is controlled.
  void code_attempt(std::span<const size_t> order, bool first) {
    for (size_t i = 0; i < order.size(); ++i) {
      PlannedTensor& t = plan_[order[i]];
      if (!t.method) continue;
      if (calibration_ != nullptr) calibration_->reach(name(t), coded_);
      if (calibration_ != nullptr && first) rates_->steer(order.subspan(i));
      coder_.code(&t, rates_->sizes().target_bits());
      if (t.method) rates_->learn(order[i], coder_.parts()[t.index]->blob_bytes);
    }
  }

  CompressReport report_without_coding() {
    rates_->set_recipes();
    return report(rates_->sizes().file_bytes());
  }

  CompressReport report(uint64_t file_bytes) {
    notes_.insert(notes_.end(), rates_->notes().begin(), rates_->notes().end());
    if (options_.dry_run && rates_->sizes().sampled()) {
      notes_.emplace_back("sizes of entropy-coded tensors are estimated from samples");
    }
    CompressReport out = make_report(source_, plan_, coder_.parts(), join_.files(), notes_,
                                     [this](size_t k) { return rates_->sizes().predict(k); });
    out.file_bytes = file_bytes;
    return out;
  }

  const TensorFile& source_;
  const std::filesystem::path output_;
  const CompressOptions& options_;
  CalibrationSource* const calibration_;  // may be null
  const FitContexts contexts_;
  Meter meter_;
  std::vector<PlannedTensor> plan_;
  std::vector<std::string> notes_;  // notes about the whole run
  const Join join_;
  PartCoder coder_;
  std::optional<RateControl> rates_;
  const CodedView coded_{source_, [this](size_t i) { return coder_.decode(i); }};
};

void check_arguments(const TensorFile& source, const std::filesystem::path& output, const CompressOptions& options) {
  check_options(options);
  if (output.extension() != ".occ") throw_usage("{}: expected an output named *.occ", output.string());
  check_names(source);
}

CompressReport run_job(const TensorFile& source, const std::filesystem::path& output, const CompressOptions& options,
                       MatrixView<const double> hessian, CalibrationSource* calibration, const AcceptArchive& accept) {
  check_arguments(source, output, options);
  return CompressJob(source, output, options, hessian, calibration).run(accept);
}

}  // namespace

CompressReport compress_file(const std::filesystem::path& input, const std::filesystem::path& output,
                             const CompressOptions& options) {
  const ThreadLimit limit(options.threads);
  const std::unique_ptr<TensorFile> source = integers_as_reals(open_any(input), options);
  return compress_source(*source, output, options, nullptr, {});
}

CompressReport compress_source(const TensorFile& source, const std::filesystem::path& output,
                               const CompressOptions& options, CalibrationSource* calibration,
                               const AcceptArchive& accept) {
  const ThreadLimit limit(options.threads);
  return run_job(source, output, options, {}, calibration, accept);
}

void check_compression(const TensorFile& source, const std::filesystem::path& output, const CompressOptions& options) {
  check_arguments(source, output, options);
  CompressJob(source, output, options, {}, nullptr).check();
}

CompressReport compress_matrix(MatrixView<const float> matrix, const std::string& name,
                               const std::filesystem::path& output, const CompressOptions& options,
                               MatrixView<const double> hessian) {
  const ThreadLimit limit(options.threads);
  if (hessian.size() != 0 && hessian.rows() != hessian.cols()) {
    throw_usage("second moments: expected a square matrix, found {} x {}", hessian.rows(), hessian.cols());
  }
  const MatrixFile source(matrix, name);
  CompressOptions once = options;
  once.resume = false;  // because nothing tells whether the values are the same as in the earlier run
  return run_job(source, output, once, hessian, nullptr, {});
}

}  // namespace occ
