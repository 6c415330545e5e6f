#include "report/sweep.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <mutex>
#include <new>
#include <numeric>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/parallel.h"
#include "compress/join.h"
#include "container/archive_file.h"
#include "metrics/tensor_limit.h"
#include "model/mended_file.h"
#include "occ/calibrate.h"
#include "recipe/method.h"
#include "report/comparison.h"
#include "report/html.h"
#include "report/sweep_file.h"
#include "report/sweep_losses.h"
#include "report/sweep_page.h"
#include "tensor/panels.h"

namespace occ {
namespace {

namespace fs = std::filesystem;

constexpr double kCurveStep = 0.125;  // bits per weight
// Cells at a time, where they are not calibrated: parts of a compression run on one thread only.
constexpr size_t kWorkers = 2;

double energy_of(const TensorFile& file, size_t i) {
  const Shape shape = matrix_shape(file.tensors()[i].shape);
  const size_t panel = panel_rows(file, i);
  std::vector<double> parts(shape.size() == 0 ? 0 : ceil_div(shape.rows, panel));
  parallel_for(parts.size(), [&](size_t p) {
    const size_t row = p * panel, rows = std::min(panel, shape.rows - row);
    Matrix<float> x = Matrix<float>::uninitialized(rows, shape.cols);
    file.read_f32(i, row * shape.cols, x.size(), x.data());
    for (size_t k = 0; k < x.size(); ++k) parts[p] += double{x.data()[k]} * double{x.data()[k]};
  });
  return std::accumulate(parts.begin(), parts.end(), 0.0);
}

// Files of nothing but integers are coded as reals; beside real tensors integers are kept.
TensorLimit limit_of(const TensorFile& file) {
  const auto& tensors = file.tensors();
  const bool any_real = std::any_of(tensors.begin(), tensors.end(), [](const auto& t) { return is_float(t.dtype); });
  TensorLimit out;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (any_real && !is_float(tensors[i].dtype)) continue;
    const double energy = energy_of(file, i);
    if (std::isfinite(energy)) out.add(tensors[i].elements(), energy);
  }
  return out;
}

void mark_pareto(Sweep* sweep) {
  const auto beats = [&](const SweepCell& a, const SweepCell& b) {
    const double x = loss_of(*sweep, a), y = loss_of(*sweep, b);
    return a.state == SweepCell::State::kDone && a.bytes <= b.bytes && x <= y && (a.bytes < b.bytes || x < y);
  };
  for (SweepCell& c : sweep->cells) {
    c.pareto = c.state == SweepCell::State::kDone && std::isfinite(loss_of(*sweep, c)) &&
               std::none_of(sweep->cells.begin(), sweep->cells.end(), [&](const auto& o) { return beats(o, c); });
  }
}

class Runner {
 public:
  Runner(const fs::path& input, const fs::path& folder, const SweepOptions& options)
      : input_(input),
        folder_(folder),
        work_(folder / "sweep.part"),
        options_(options),
        source_(open_model_file(input)),
        losses_(*source_, input.string(), options),
        limit_(limit_of(*source_)) {
    if (!options.calibrate.empty()) check_calibration(*source_);
    sweep_.input = input.string();
    sweep_.loss = losses_.name();
    sweep_.input_bytes = source_->file_bytes();
    for (const TensorInfo& t : source_->tensors()) sweep_.elements += t.elements();
    make_cells();
  }

  Sweep run() {
    for (size_t i = 0; i < sweep_.cells.size(); ++i) {
      if (sweep_.cells[i].state != SweepCell::State::kDone) open_.push_back(i);
    }
    std::error_code ec;
    fs::create_directory(folder_, ec);
    if (!fs::is_directory(folder_)) throw_failed("{}: cannot be created: {}", folder_.string(), ec.message());
    save();
    std::atomic<size_t> next = 0;
    std::exception_ptr failure;
    const auto work = [&] {
      try {
        for (size_t k = next++; k < open_.size(); k = next++) run_cell(k);
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!failure) failure = std::current_exception();
        next = open_.size();
      }
    };
    std::vector<std::thread> threads;
    const size_t workers = options_.calibrate.empty() ? std::min({kWorkers, max_threads(), open_.size()}) : 1;
    for (size_t i = 1; i < workers; ++i) threads.emplace_back(work);
    work();
    for (std::thread& t : threads) t.join();
    if (failure) std::rethrow_exception(failure);
    fs::remove_all(work_, ec);
    return std::move(sweep_);
  }

 private:
  // Cells that were finished earlier keep their figures.
  void make_cells() {
    earlier_ = read_cells(folder_ / kSweepCells);
    std::vector<double> bits = options_.bits;
    std::sort(bits.begin(), bits.end());
    bits.erase(std::unique(bits.begin(), bits.end()), bits.end());
    for (const std::string& text : options_.methods) {
      const std::string method = Method::parse(text).print();
      for (const double b : bits) {
        SweepCell c;
        c.method = method;
        c.asked = b;
        c.key = key_of(method, b);
        const auto known = [&](const SweepCell& o) { return o.key == c.key; };
        if (std::any_of(sweep_.cells.begin(), sweep_.cells.end(), known)) continue;
        const auto found = std::find_if(earlier_.begin(), earlier_.end(), known);
        if (found != earlier_.end()) c = *found;
        c.command = command_of(method, b);
        sweep_.cells.push_back(std::move(c));
      }
    }
  }

  std::string key_of(const std::string& method, double bits) const {
    std::string all =
        fmt::format("{}\n{}\n{:.17g} {} {} {} {} {} {}\n{}", tool_name(), method, bits, options_.effort.value_or(0),
                    options_.seed, options_.calibration_tokens, options_.max_tokens, options_.limit,
                    fs::weakly_canonical(input_).string(), describe_files(input_));
    if (!options_.calibrate.empty()) all += "calibrate " + describe_files(options_.calibrate);
    if (!options_.text.empty()) all += "text " + describe_files(options_.text);
    return hash_hex(hash64(all));
  }

  std::string command_of(const std::string& method, double bits) const {
    std::string out = fmt::format("occ compress {} -o OUT.occ --method {} --bits {:g}", shell_quoted(input_.string()),
                                  shell_quoted(method), bits);
    if (options_.calibrate.empty()) {
      out += " --no-calibrate";
    } else {
      out += " --calibrate " + shell_quoted(options_.calibrate.string());
      if (options_.calibration_tokens != 0) out += fmt::format(" --calibration-tokens {}", options_.calibration_tokens);
    }
    if (options_.effort) out += fmt::format(" --effort {}", *options_.effort);
    if (options_.seed != 0) out += fmt::format(" --seed {}", options_.seed);
    return out;
  }

  // Cell k of those that are open.
  void run_cell(size_t k) {
    SweepCell c = sweep_.cells[open_[k]];
    const auto start = std::chrono::steady_clock::now();
    const ProgressFn progress = [&](const char* phase, uint64_t done, uint64_t total) {
      const std::lock_guard lock(mutex_);
      if (options_.progress) options_.progress(k, open_.size(), phase, done, total);
    };
    try {
      measure(progress, &c);
      c.state = SweepCell::State::kDone;
    } catch (const std::bad_alloc&) {
      c.error = "out of memory";
    } catch (const std::exception& e) {
      if (interrupted()) throw;
      c.error = e.what();
    }
    if (c.state != SweepCell::State::kDone) c.state = SweepCell::State::kFailed;
    c.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const std::lock_guard lock(mutex_);
    sweep_.cells[open_[k]] = c;
    save();
    ++done_;
    if (options_.finished) options_.finished(k, c, sweep_.cells.size() - open_.size() + done_, sweep_.cells.size());
  }

  void measure(const ProgressFn& progress, SweepCell* c) {
    fs::create_directories(work_);
    const fs::path archive = work_ / (c->key + ".occ");
    const CompressReport report = compress(*c, archive, progress);
    c->calibrated = !options_.calibrate.empty();
    c->notes = report.notes;
    c->bytes = report.file_bytes;
    c->bpw = report.bpw();
    losses_.measure(ArchiveFile(archive), progress, c);
    c->limit_bpw = limit_.bits_at(c->nmse);
    fs::remove(archive);
  }

  CompressReport compress(const SweepCell& c, const fs::path& archive, const ProgressFn& progress) const {
    CompressOptions o;
    o.method = c.method;
    o.bits = c.asked;
    o.effort = options_.effort.value_or(o.effort);
    o.seed = options_.seed;
    o.threads = options_.threads;
    o.resume = o.force = true;  // unfinished parts of the same run are used, others are replaced
    o.verify = o.sync = false;  // all values are decoded when they are compared
    o.progress = progress;
    CalibrationOptions calibration;
    calibration.off = options_.calibrate.empty();
    if (!calibration.off) calibration.texts = {options_.calibrate};
    calibration.tokens = options_.calibration_tokens;
    calibration.effort = options_.effort.value_or(kCalibratedEffort);
    return compress_model(input_, archive, o, calibration);
  }

  // Writes everything that is known so far. Cells of earlier sweeps with other arguments stay in the store.
  void save() {
    mark_pareto(&sweep_);
    double most = *std::max_element(options_.bits.begin(), options_.bits.end());
    for (const SweepCell& c : sweep_.cells) most = std::max(most, c.bpw);
    sweep_.limit.clear();
    for (double b = 0; b < most + kCurveStep; b += kCurveStep) sweep_.limit.emplace_back(b, limit_.nmse_at(b));
    std::vector<SweepCell> store = sweep_.cells;
    for (const SweepCell& c : earlier_) {
      const bool newer = std::any_of(store.begin(), store.end(), [&](const auto& o) { return o.key == c.key; });
      if (!newer) store.push_back(c);
    }
    write_cells(folder_ / kSweepCells, store);
    write_file(folder_ / kSweepTable, sweep_csv(sweep_), false);
    write_file(folder_ / kSweepPage, sweep_page(sweep_, options_), false);
  }

  const fs::path input_, folder_, work_;
  const SweepOptions& options_;
  const std::unique_ptr<TensorFile> source_;
  SweepLosses losses_;
  const TensorLimit limit_;
  std::vector<SweepCell> earlier_;
  std::vector<size_t> open_;  // cells that are to be done
  std::mutex mutex_;          // of what follows, and of the functions of the options
  size_t done_ = 0;           // of the open ones
  Sweep sweep_;
};

}  // namespace

size_t Sweep::failed() const {
  return static_cast<size_t>(
      std::count_if(cells.begin(), cells.end(), [](const auto& c) { return c.state == SweepCell::State::kFailed; }));
}

double loss_of(const Sweep& sweep, const SweepCell& cell) {
  if (sweep.loss == kLossOfLanguage) return cell.kl.value_or(NAN);
  if (sweep.loss == kLossOfEncoder) return 1 - cell.embedding_cosine.value_or(NAN);
  return cell.nmse;
}

std::vector<std::string> split_methods(const std::string& text) {
  std::vector<std::string> out(1);
  int depth = 0;
  for (const char c : text) {
    depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    if (c == ',' && depth == 0) {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  return out;
}

Sweep run_sweep(const fs::path& input, const fs::path& folder, const SweepOptions& options) {
  const ThreadLimit limit(options.threads);
  return Runner(input, folder, options).run();
}

}  // namespace occ
