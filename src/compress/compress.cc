// The job: plan, code every tensor into a part, choose rates, join the parts to an archive, verify it, give it its
// name.
#include "occ/compress.h"

#include <sys/resource.h>
#include <zstd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <future>
#include <map>
#include <set>
#include <unordered_map>

#include "base/check.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/outputs.h"
#include "base/parallel.h"
#include "compress/calibration_source.h"
#include "compress/coded_view.h"
#include "compress/encode.h"
#include "compress/fit_contexts.h"
#include "compress/integers_as_reals.h"
#include "compress/matrix_file.h"
#include "compress/meter.h"
#include "compress/part_store.h"
#include "compress/plan.h"
#include "compress/rate_control.h"
#include "compress/report.h"
#include "compress/row_scales.h"
#include "container/archive_file.h"
#include "container/blob.h"
#include "io/safetensors.h"
#include "metrics/limits.h"
#include "recipe/bound.h"

namespace occ {
namespace {

constexpr const char* kTool = "occ " OCC_VERSION;
constexpr int kZstdLevel = 19;
constexpr size_t kJoinAtOnce = 4;  // parts in memory at a time while they are joined

// Six digits are plenty for a report and keep the index small.
double rounded(double v) { return std::isfinite(v) ? std::stod(fmt::format("{:.6g}", v)) : v; }

// Rounded so that its text is not longer than that of `before`: file sizes are settled. None if no digit is left then.
std::optional<double> rounded_within(double v, double before) {
  const size_t length = fmt::format("{}", before).size();
  for (int digits = 6; digits > 0; --digits) {
    const std::string text = fmt::format("{:.{}g}", v, digits);
    if (fmt::format("{}", std::stod(text)).size() <= length) return std::stod(text);
  }
  return std::nullopt;
}

void check_options(const CompressOptions& o) {
  if (o.bits.has_value() + o.ratio.has_value() + o.size.has_value() + o.nmse.has_value() > 1) {
    throw_usage("expected at most one of --bits, --ratio, --size and --nmse");
  }
  if (!o.recipe.empty() && (o.bits || o.ratio || o.size || o.nmse)) {
    throw_usage("--recipe fixes the rate itself, it does not go with --bits, --ratio, --size or --nmse");
  }
  if (o.bits && !(*o.bits > 0 && *o.bits <= 32)) throw_usage("--bits: expected a number above 0 and up to 32");
  if (o.nmse && !(*o.nmse > 0 && *o.nmse < 1)) throw_usage("--nmse: expected a number between 0 and 1");
  if (o.effort < 1 || o.effort > 9) throw_usage("--effort: expected 1 to 9, found {}", o.effort);
  if (o.ratio && !(*o.ratio > 0 && std::isfinite(*o.ratio))) throw_usage("--ratio: expected a positive number");
}

class CompressJob {
 public:
  CompressJob(const TensorFile& source, const std::filesystem::path& output, const CompressOptions& options,
              MatrixView<const double> hessian = {}, CalibrationSource* calibration = nullptr)
      : source_(source),
        output_(output),
        options_(options),
        calibration_(calibration),
        contexts_(source, options, hessian, calibration),
        meter_(options.progress) {
    check_options(options);
    if (output.extension() != ".occ") throw_usage("{}: expected an output named *.occ", output.string());
    for (const TensorInfo& t : source.tensors()) {
      if (t.name == "__metadata__" || t.name.starts_with(kSideFilePrefix)) {
        throw_input("{}: tensor '{}': its name is reserved", source.path(), t.name);
      }
    }
    plan_ = plan_tensors(source, options);
    contexts_.plan(&plan_, &notes_);
    parts_.resize(plan_.size());
    rates_.emplace(
        source, options, plan_, [this](const auto& plan) { return file_size(plan); },
        [this](size_t i) { return where(i); },
        [this](const PlannedTensor& t) { return contexts_.context(t, rates_->target_bits()); },
        [this] { return energy_of_fixed(); });
    for (const SideFile& f : source.side_files()) add_side_file(f);
  }

  CompressReport run() {
    const auto start = std::chrono::steady_clock::now();
    if (options_.dry_run) {
      rates_->plan();
      const uint64_t bytes = file_size(plan_);
      notes_.insert(notes_.end(), rates_->notes().begin(), rates_->notes().end());
      if (rates_->estimated()) notes_.emplace_back("sizes of entropy-coded tensors are estimated from samples");
      return report(bytes);
    }
    require_not_input(output_, source_.path());
    require_writable_target(output_, options_.force);
    store_.emplace(output_, describe(), options_.resume, options_.force);
    uint64_t bytes = 0;
    try {
      for (const PlannedTensor& t : plan_) {
        if (t.kept()) hash_kept(t);
      }
      encode_all();
      bytes = join();
    } catch (const Error& e) {
      if (saving_.valid()) saving_.wait();
      if (e.kind() != ErrorKind::kFailed) store_->remove();  // going on would fail again
      throw;
    }
    store_->remove();
    CompressReport out = report(bytes);
    out.verified = options_.verify;
    out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    struct rusage usage = {};
    if (::getrusage(RUSAGE_SELF, &usage) == 0) out.peak_bytes = static_cast<uint64_t>(usage.ru_maxrss) * 1024;
    return out;
  }

 private:
  const TensorInfo& info(size_t i) const { return source_.tensors()[i]; }
  std::string where(size_t i) const { return fmt::format("{}: tensor '{}'", source_.path(), info(i).name); }

  // Everything that decides the bytes of the parts.
  std::string describe() const {
    std::error_code ec;
    std::string out = fmt::format("{}\nformat {}\ninput {} {}\n", kTool, kFormatVersion,
                                  std::filesystem::weakly_canonical(source_.path(), ec).string(), source_.file_bytes());
    out += describe_files(source_.path());
    out += fmt::format("rate {} {} {} {}\n", options_.bits.value_or(0), options_.ratio.value_or(0),
                       options_.size.value_or(0), options_.nmse.value_or(0));
    out += fmt::format("seed {} effort {}\n", options_.seed, options_.effort);
    for (const PlannedTensor& t : plan_) {
      if (t.sensitivity != 1) out += fmt::format("sensitivity {} {}\n", info(t.index).name, t.sensitivity);
    }
    out += contexts_.describe();
    for (const PlannedTensor& t : plan_) {
      out += fmt::format("{} {}\n", info(t.index).name, t.method ? t.method->print() : t.kept() ? "keep" : t.recipe);
    }
    return out;
  }

  void add_side_file(const SideFile& f) {
    Bytes packed(ZSTD_compressBound(f.bytes.size()));
    const size_t n = ZSTD_compress(packed.data(), packed.size(), f.bytes.data(), f.bytes.size(), kZstdLevel);
    OCC_CHECK(!ZSTD_isError(n));
    packed.resize(n);
    files_.push_back({f.name, f.bytes.size(), hash64(packed)});
    file_bytes_.push_back(std::move(packed));
  }

  // Exact once all tensors are coded; before that blobs are predicted (and a guess where they cannot be).
  uint64_t file_size(const std::vector<PlannedTensor>& plan) {
    std::vector<uint64_t> sizes;
    for (size_t k = 0; k < plan.size(); ++k) {
      const std::optional<Part>& part = parts_[plan[k].index];
      const bool coded = part && part->record.recipe == plan[k].recipe;
      sizes.push_back(plan[k].kept() ? 0 : coded ? part->blob_bytes : rates_->predict(k));
    }
    const auto [tensors, index] = layout(plan, sizes);
    return safetensors_file_bytes(tensors, metadata(index));
  }

  // Blobs first (multiples of 64 bytes, so all of them are aligned), kept tensors by falling element size, then
  // files.
  std::pair<std::vector<OutTensor>, ArchiveIndex> layout(const std::vector<PlannedTensor>& plan,
                                                         const std::vector<uint64_t>& blob_sizes) const {
    ArchiveIndex index;
    index.tool = kTool;
    index.seed = options_.seed;
    index.source_format = source_.format();
    index.files = files_;
    std::vector<OutTensor> blobs, kept;
    std::vector<uint64_t> source_hashes;
    for (size_t k = 0; k < plan.size(); ++k) {
      const TensorInfo& t = info(plan[k].index);
      const std::optional<Part>& part = parts_[plan[k].index];
      TensorRecord r;
      if (part && (part->record.recipe == plan[k].recipe || (part->record.coded() && !plan[k].recipe.empty()))) {
        r = part->record;  // what it measured is about as long for any recipe
      } else {
        r.name = t.name, r.shape = t.shape, r.dtype = t.dtype;
        r.nmse = 0.0123456;  // as long as most
        if (!plan[k].recipe.empty() && contexts_.has_moments(plan[k])) {
          r.weighted_error = r.nmse;
          r.eigenvalues.resize(std::min(plan[k].shape.cols, kProfileSize));
          if (plan[k].calibrated) r.row_energies.resize(std::min(plan[k].shape.rows, kProfileSize));
        }
      }
      r.recipe = plan[k].recipe;
      source_hashes.push_back(part ? part->source_hash : 0);
      (r.coded() ? blobs : kept)
          .push_back(r.coded() ? OutTensor{t.name, DType::kU8, {blob_sizes[k]}} : OutTensor{t.name, t.dtype, t.shape});
      index.tensors.push_back(std::move(r));
    }
    index.source_hash = hash_of_chunks(source_hashes);
    std::stable_sort(kept.begin(), kept.end(),
                     [](const OutTensor& a, const OutTensor& b) { return dtype_size(a.dtype) > dtype_size(b.dtype); });
    blobs.insert(blobs.end(), kept.begin(), kept.end());
    for (size_t f = 0; f < files_.size(); ++f) {
      blobs.push_back({kSideFilePrefix + files_[f].name, DType::kU8, {file_bytes_[f].size()}});
    }
    return {std::move(blobs), std::move(index)};
  }

  static std::map<std::string, std::string> metadata(const ArchiveIndex& index) {
    const std::string text = print_index(index);
    return {{kIndexKey, text}, {kCheckKey, hash_hex(hash64(std::string_view(text)))}};
  }

  Bytes read_kept(size_t i) const {
    if (const auto tuned = tuned_.find(i); tuned != tuned_.end()) return tuned->second;
    Bytes raw(info(i).elements() * dtype_size(info(i).dtype));
    source_.read_raw(i, 0, info(i).elements(), raw.data());
    return raw;
  }

  // Sum of the squares of the finite values, so that the total error is that of `occ compare`.
  double energy(size_t i) const {
    double sum = 0;
    std::vector<float> values(std::min<uint64_t>(info(i).elements(), size_t{1} << 16));
    for (uint64_t first = 0; first < info(i).elements(); first += values.size()) {
      values.resize(std::min<uint64_t>(values.size(), info(i).elements() - first));
      source_.read_f32(i, first, values.size(), values.data());
      for (const float v : values) sum += std::isfinite(v) ? static_cast<double>(v) * v : 0;
    }
    return sum;
  }

  void keep(PlannedTensor& t, const std::string& why) {
    t.method.reset();
    t.recipe.clear();
    t.note = why;
    notes_.push_back(fmt::format("{} is kept as it is: {}", info(t.index).name, why));
    hash_kept(t);
  }

  void hash_kept(const PlannedTensor& t) {
    throw_if_interrupted();
    const TensorInfo& in = info(t.index);
    const Bytes raw = read_kept(t.index);
    Part part;
    part.record.name = in.name, part.record.shape = in.shape, part.record.dtype = in.dtype;
    part.record.checksum = tensor_checksum(part.record, raw);
    part.source_hash = hash64(raw);
    if (is_float(in.dtype)) part.sum_squares = energy(t.index);
    parts_[t.index] = std::move(part);
  }

  void encode_all() {
    uint64_t total = 0;
    for (const PlannedTensor& t : plan_) total += t.kept() ? 0 : t.shape.size() * sizeof(float);
    require_free_space(output_, total / 4);
    meter_.start("compress", total);
    for (PlannedTensor& t : plan_) {  // fixed recipes first: their sizes decide what is left for the others
      if (!t.method && !t.kept()) encode(t);
    }
    const std::vector<size_t> order = contexts_.coding_order(plan_);
    uint64_t adjustable = 0;
    for (const PlannedTensor& t : plan_) adjustable += t.method ? t.shape.size() * sizeof(float) : 0;
    for (bool first = true;; first = false) {
      rates_->plan();
      if (!first) meter_.start("adjust", adjustable);  // what stays as it is passes at once
      for (size_t i = 0; i < order.size(); ++i) {
        const size_t k = order[i];
        if (!plan_[k].method) continue;
        if (calibration_ != nullptr) calibration_->reach(info(plan_[k].index).name, coded_);
        if (calibration_ != nullptr && first) rates_->steer(std::span(order).subspan(i));
        encode(plan_[k]);
        if (plan_[k].method) rates_->learn(k, parts_[plan_[k].index]->blob_bytes);
      }
      if (rates_->accept(file_size(plan_), total_nmse(parts_))) break;
    }
    if (calibration_ != nullptr) take_tuned();
    notes_.insert(notes_.end(), rates_->notes().begin(), rates_->notes().end());
  }

  // Vectors that are kept and scales of rows may have better values now that all is coded.
  void take_tuned() {
    std::set<std::string> scaled;
    for (const PlannedTensor& t : plan_) {
      if (!t.kept() && has_row_scales(Recipe::parse(t.recipe))) scaled.insert(info(t.index).name);
    }
    const TunedValues tuned = calibration_->tune(coded_, scaled, &notes_);
    for (PlannedTensor& t : plan_) {
      const auto& values = t.kept() ? tuned.vectors : tuned.row_factors;
      if (const auto found = values.find(info(t.index).name); found != values.end()) take_tuned(t, found->second);
    }
  }

  void take_tuned(PlannedTensor& t, const std::vector<float>& values) {
    const TensorInfo& in = info(t.index);
    Part& part = *parts_[t.index];
    if (t.kept()) {
      if (in.elements() != values.size()) return;
      Bytes& raw = tuned_[t.index];
      raw.resize(values.size() * dtype_size(in.dtype));
      convert_from_f32(in.dtype, values.data(), raw.data(), values.size());
      part.record.checksum = tensor_checksum(part.record, raw);
      t.note = "tuned";
      return;
    }
    row_factors_[t.index] = values;
    const Matrix<float> decoded = decode(t.index);
    const Measured m = measure(TensorRows(source_, t.index), decoded.view());
    const std::optional<double> nmse = rounded_within(m.distortion.nmse(), part.record.nmse);
    if (!nmse) {
      row_factors_.erase(t.index);
      return;
    }
    part.record.nmse = *nmse;
    part.record.decoded_hash = m.decoded_hash;
    part.record.checksum = tensor_checksum(part.record, coded_blob(t.index));
    part.sum_errors = m.distortion.squared_error();
    t.note = "scales of rows tuned";
  }

  // As it goes into the archive. Parts stay as they were coded, so that a run which goes on tunes the same values.
  Bytes coded_blob(size_t i) const {
    Bytes blob = store_->read_blob(i);
    const auto factors = row_factors_.find(i);
    return factors == row_factors_.end() ? blob : with_scaled_rows(blob, factors->second, where(i));
  }

  // What tensor i is decoded to, if it is coded.
  Matrix<float> decode(size_t i) {
    const std::optional<Part>& part = parts_[i];
    if (!part || !part->record.coded()) return {};
    finish_saving();
    const Bytes blob = coded_blob(i);
    PlaneReader planes(unpack_blob(blob, where(i)), where(i));
    const Shape shape = matrix_shape(part->record.shape);
    const std::unique_ptr<BoundRecipe> recipe = load_recipe(Recipe::parse(part->record.recipe), shape, planes);
    Matrix<float> out = Matrix<float>::uninitialized(shape.rows, shape.cols);
    recipe->dequantize({0, 0, shape.rows, shape.cols}, out.view());
    return out;
  }

  RateControl::Energy energy_of_fixed() const {
    RateControl::Energy sum;
    for (const PlannedTensor& t : plan_) {
      if (t.continuous() || !parts_[t.index]) continue;
      sum.errors += parts_[t.index]->sum_errors;
      sum.squares += parts_[t.index]->sum_squares;
    }
    return sum;
  }

  void encode(PlannedTensor& t) {
    const uint64_t work = t.shape.size() * sizeof(float);
    std::optional<Part>& part = parts_[t.index];
    if (!part) part = store_->find(t.index);
    if (part && part->record.recipe == t.recipe && part->record.name == info(t.index).name) return meter_.add(work);

    part.emplace();
    auto [ctx, moments] = contexts_.context(t, rates_->target_bits(), &part->notes);
    ctx.fallbacks = &part->notes;
    const TensorRows original(source_, t.index);
    const Matrix<float> corrected = contexts_.corrected(t, original);
    const MatrixSource corrected_source(corrected.view());
    const bool as_it_is = corrected.size() == 0;
    EncodedMatrix m = encode_matrix(
        Recipe::parse(t.recipe), as_it_is ? static_cast<const RowSource&>(original) : corrected_source, ctx,
        where(t.index), [this](uint64_t bytes) { meter_.add(bytes); }, as_it_is ? nullptr : &original);
    const uint64_t raw_bytes = info(t.index).elements() * dtype_size(info(t.index).dtype);
    if (m.blob.size() >= raw_bytes)
      return keep(t, fmt::format("coded it would not be smaller ({} bytes)", m.blob.size()));
    // NaN as well: a transform may overflow near the end of the float range. What no input excites may err as it
    // likes. At a low rate of the whole file a tensor may get nothing at all.
    const bool nothing_left = !(std::min(m.distortion.nmse(), m.weighted_error.value_or(1)) < 1);
    if ((nothing_left && !t.continuous()) || !std::isfinite(m.distortion.nmse())) {
      return keep(t, "coded its error would be as large as the values themselves");
    }
    if (m.distortion.nmse() >= 1 && m.weighted_error) {
      part->notes.push_back("its error is larger than its values, in directions that the inputs do not have");
    }
    TensorRecord& r = part->record;
    r.name = info(t.index).name, r.shape = info(t.index).shape, r.dtype = info(t.index).dtype, r.recipe = t.recipe;
    r.nmse = rounded(m.distortion.nmse());
    if (m.weighted_error) r.weighted_error = rounded(*m.weighted_error), r.eigenvalues = moments->profile;
    r.row_energies = m.row_energies;
    r.decoded_hash = m.decoded_hash;
    r.checksum = tensor_checksum(r, m.blob);
    part->source_hash = m.source_hash;
    part->sum_squares = m.distortion.reference_energy();
    part->sum_errors = m.distortion.squared_error();
    part->blob_bytes = m.blob.size();
    // Written while the next tensor is coded.
    finish_saving();
    saving_ = std::async(std::launch::async,
                         [this, i = t.index, copy = *part, blob = std::move(m.blob)] { store_->save(i, copy, blob); });
  }

  void finish_saving() {
    if (saving_.valid()) saving_.get();
  }

  uint64_t join() {
    finish_saving();
    std::vector<uint64_t> sizes;
    std::unordered_map<std::string, size_t> sources;
    for (const PlannedTensor& t : plan_) {
      sizes.push_back(parts_[t.index]->blob_bytes);
      sources[info(t.index).name] = t.index;
    }
    const std::pair<std::vector<OutTensor>, ArchiveIndex> file = layout(plan_, sizes);
    const std::vector<OutTensor>& tensors = file.first;
    const std::map<std::string, std::string> meta = metadata(file.second);
    require_free_space(output_, safetensors_file_bytes(tensors, meta));
    SafetensorsWriter writer(output_, tensors, meta, options_.sync);
    meter_.start("write", writer.file_bytes());
    for (size_t first = 0; first < plan_.size(); first += kJoinAtOnce) {
      parallel_for(std::min(kJoinAtOnce, plan_.size() - first), [&](size_t k) {
        const size_t i = sources.at(tensors[first + k].name);
        const Bytes data = parts_[i]->record.coded() ? coded_blob(i) : read_kept(i);
        writer.write_tensor(first + k, data);
        meter_.add(data.size());
      });
    }
    for (size_t f = 0; f < file_bytes_.size(); ++f) {
      writer.write_tensor(plan_.size() + f, file_bytes_[f]);
      meter_.add(file_bytes_[f].size());
    }
    if (options_.verify) {
      uint64_t total = 0;
      for (const PlannedTensor& t : plan_) total += t.shape.size() * sizeof(float);
      meter_.start("verify", total);
      ArchiveFile(writer.temporary_path()).verify([this](uint64_t bytes) { meter_.add(bytes); });
    }
    writer.commit();
    return writer.file_bytes();
  }

  CompressReport report(uint64_t file_bytes) {
    CompressReport out =
        make_report(source_, plan_, parts_, files_, notes_, [this](size_t k) { return rates_->predict(k); });
    out.file_bytes = file_bytes;
    return out;
  }

  const TensorFile& source_;
  const std::filesystem::path output_;
  const CompressOptions& options_;
  CalibrationSource* const calibration_;  // or null
  const FitContexts contexts_;
  Meter meter_;
  std::vector<PlannedTensor> plan_;
  std::vector<std::optional<Part>> parts_;            // by tensor of the source
  std::map<size_t, Bytes> tuned_;                     // kept tensors with other values than the source
  std::map<size_t, std::vector<float>> row_factors_;  // of coded tensors, tuned
  std::vector<FileRecord> files_;
  std::vector<Bytes> file_bytes_;   // zstd-compressed
  std::vector<std::string> notes_;  // fallbacks of the whole run
  std::optional<PartStore> store_;
  std::future<void> saving_;  // of the part before; waits when it goes out of scope
  std::optional<RateControl> rates_;
  const CodedView coded_{source_, [this](size_t i) { return decode(i); }};
};

}  // namespace

CompressReport compress_file(const std::filesystem::path& input, const std::filesystem::path& output,
                             const CompressOptions& options) {
  const ThreadLimit limit(options.threads);
  const std::unique_ptr<TensorFile> source = integers_as_reals(open_any(input), options);
  return compress_source(*source, output, options, nullptr);
}

CompressReport compress_source(const TensorFile& source, const std::filesystem::path& output,
                               const CompressOptions& options, CalibrationSource* calibration) {
  const ThreadLimit limit(options.threads);
  return CompressJob(source, output, options, {}, calibration).run();
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
  once.resume = false;  // nothing tells whether the values are those of an earlier run
  return CompressJob(source, output, once, hessian).run();
}

}  // namespace occ
