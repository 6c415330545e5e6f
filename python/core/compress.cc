// Compressing files: compress_model of the C++ library, as the command line calls it, with progress on the caller's thread.
#include "occ/compress.h"

#include <chrono>
#include <mutex>

#include "base/error.h"
#include "caller.h"
#include "module.h"
#include "occ/calibrate.h"

namespace nb = nanobind;

namespace occ::python {
namespace {

struct Options {
  CompressOptions compress;
  CalibrationOptions calibration;
};

template <class T>
T to(nb::handle value) {
  return nb::cast<T>(value);
}

// What the keys of the options set. python/occ/__init__.py checks names and describes them.
const std::map<std::string, void (*)(Options&, nb::handle)> kSetters = {
    {"method", [](Options& o, nb::handle v) { o.compress.method = to<std::string>(v); }},
    {"recipe", [](Options& o, nb::handle v) { o.compress.recipe = to<std::string>(v); }},
    {"bits", [](Options& o, nb::handle v) { o.compress.bits = to<double>(v); }},
    {"ratio", [](Options& o, nb::handle v) { o.compress.ratio = to<double>(v); }},
    {"size", [](Options& o, nb::handle v) { o.compress.size = to<uint64_t>(v); }},
    {"nmse", [](Options& o, nb::handle v) { o.compress.nmse = to<double>(v); }},
    {"effort",
     [](Options& o, nb::handle v) {
       o.compress.effort = to<int>(v);
       o.calibration.effort = o.compress.effort;
     }},
    {"sensitivity", [](Options& o, nb::handle v) { o.compress.sensitivity = to<std::filesystem::path>(v); }},
    {"tensors",
     [](Options& o, nb::handle v) { o.compress.tensors = to<std::vector<std::pair<std::string, std::string>>>(v); }},
    {"keep", [](Options& o, nb::handle v) { o.compress.keep = to<std::vector<std::string>>(v); }},
    {"activations", [](Options& o, nb::handle v) { o.compress.activations = to<std::string>(v); }},
    {"hessian", [](Options& o, nb::handle v) { o.compress.hessian = to<std::string>(v); }},
    {"seed", [](Options& o, nb::handle v) { o.compress.seed = to<uint64_t>(v); }},
    {"threads", [](Options& o, nb::handle v) { o.compress.threads = to<size_t>(v); }},
    {"resume", [](Options& o, nb::handle v) { o.compress.resume = to<bool>(v); }},
    {"force", [](Options& o, nb::handle v) { o.compress.force = to<bool>(v); }},
    {"verify", [](Options& o, nb::handle v) { o.compress.verify = to<bool>(v); }},
    {"sync", [](Options& o, nb::handle v) { o.compress.sync = to<bool>(v); }},
    {"dry_run", [](Options& o, nb::handle v) { o.compress.dry_run = to<bool>(v); }},
    {"texts", [](Options& o, nb::handle v) { o.calibration.texts = to<std::vector<std::filesystem::path>>(v); }},
    {"calibration_tokens", [](Options& o, nb::handle v) { o.calibration.tokens = to<size_t>(v); }},
    {"context", [](Options& o, nb::handle v) { o.calibration.context = to<size_t>(v); }},
    {"tune_tokens", [](Options& o, nb::handle v) { o.calibration.tune_tokens = to<size_t>(v); }},
    {"tune_weights", [](Options& o, nb::handle v) { o.calibration.tune_weights = to<size_t>(v); }},
};

// Hands progress to Python at most ten times a second, and whenever a phase begins or ends.
class Progress {
 public:
  Progress(Caller& caller, nb::handle callback) : caller_(caller), callback_(callback) {}
  void operator()(const char* phase, uint64_t done, uint64_t total) {
    const auto now = std::chrono::steady_clock::now();
    if (phase == phase_ && done < total && now - last_ < std::chrono::milliseconds(100)) return;
    phase_ = phase;
    last_ = now;
    caller_.call([&] { callback_(phase_, done, total); });
  }

 private:
  Caller& caller_;
  const nb::handle callback_;
  std::string phase_;
  std::chrono::steady_clock::time_point last_;
};

CompressReport compress(const std::filesystem::path& input, const std::filesystem::path& output,
                        const nb::dict& settings, std::optional<bool> calibrate, const nb::object& progress,
                        const nb::object& warn) {
  Options o;
  o.calibration.effort = kCalibratedEffort;
  for (const auto [key, value] : settings) {
    const auto setter = kSetters.find(nb::cast<std::string>(key));
    if (setter == kSetters.end()) throw_usage("unknown option '{}'", nb::cast<std::string>(key));
    try {
      setter->second(o, value);
    } catch (const nb::cast_error&) {
      throw_usage("{}: found a value of the wrong type, {}", setter->first, nb::cast<std::string>(nb::repr(value)));
    }
  }
  // Nothing asked for: as on the command line.
  o.calibration.off = !calibrate.value_or(!o.calibration.texts.empty() || !decides_errors(o.compress));
  Caller caller;
  Progress report(caller, progress);
  if (!progress.is_none()) o.compress.progress = std::ref(report);
  o.calibration.warn = [&](const std::string& text) { caller.call([&] { warn(text); }); };
  CompressReport result;
  caller.run([&] { result = compress_model(input, output, o.compress, o.calibration); });
  return result;
}

}  // namespace

void add_compress(nb::module_& m) {
  nb::class_<TensorReport>(m, "TensorReport", "What became of a tensor.")
      .def_ro("name", &TensorReport::name)
      .def_ro("shape", &TensorReport::shape)
      .def_ro("dtype", &TensorReport::dtype)
      .def_ro("recipe", &TensorReport::recipe)
      .def_ro("note", &TensorReport::note)
      .def_ro("choice", &TensorReport::choice)
      .def_ro("elements", &TensorReport::elements)
      .def_ro("bytes", &TensorReport::bytes)
      .def_ro("nmse", &TensorReport::nmse)
      .def_ro("weighted_error", &TensorReport::weighted_error)
      .def_ro("sensitivity", &TensorReport::sensitivity)
      .def_ro("limit_bpw", &TensorReport::limit_bpw)
      .def_prop_ro("bpw", &TensorReport::bpw)
      .def_prop_ro("gap_bits", &TensorReport::gap_bits);
  nb::class_<CompressReport>(m, "CompressReport", "What became of everything.")
      .def_ro("tensors", &CompressReport::tensors)
      .def_ro("notes", &CompressReport::notes)
      .def_ro("elements", &CompressReport::elements)
      .def_ro("input_bytes", &CompressReport::input_bytes)
      .def_ro("file_bytes", &CompressReport::file_bytes)
      .def_ro("nmse", &CompressReport::nmse)
      .def_ro("seconds", &CompressReport::seconds)
      .def_ro("peak_bytes", &CompressReport::peak_bytes)
      .def_ro("verified", &CompressReport::verified)
      .def_ro("loss", &CompressReport::loss)
      .def_ro("loss_is_cosine", &CompressReport::loss_is_cosine)
      .def_ro("loss_tokens", &CompressReport::loss_tokens)
      .def_ro("loss_text", &CompressReport::loss_text)
      .def_prop_ro("bpw", &CompressReport::bpw);
  m.def("compress", &compress, nb::arg("input"), nb::arg("output"), nb::arg("settings"), nb::arg("calibrate").none(),
        nb::arg("progress").none(), nb::arg("warn"));
}

}  // namespace occ::python
