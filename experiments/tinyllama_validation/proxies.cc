// What can be said of a compressed model without running it, for comparison with what running it shows (README.md).
//
//   proxies MODEL TEXT TOKENS LENGTH moments OUT.safetensors
//   proxies MODEL TEXT TOKENS LENGTH errors FILE...
//
// TEXT: the first TOKENS tokens in sequences of LENGTH. `moments` writes the second moments E[x x^T] of the inputs of every
// linear layer but the head, under the names of the weights, as `occ compress --hessian` reads them. `errors` prints CSV, a line
// for each file: file, nmse, weighted_nmse, predicted_kl. nmse: over all matrices. weighted_nmse: mean over linear layers
// of tr(E H E^T) / tr(W H W^T). predicted_kl: second order (src/calibration/fisher.h), nats per token.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>

#include "calibration/fisher.h"
#include "container/archive_file.h"
#include "experiments/main.h"
#include "experiments/sequences.h"
#include "io/sink.h"
#include "metrics/weighted_error.h"

namespace occ {
namespace {

void write_moments(const Fisher& fisher, const std::string& head, const std::string& path) {
  std::vector<OutTensor> tensors;
  for (const auto& [name, f] : fisher.linear) {
    if (name != head) tensors.push_back({name, DType::kF32, {f.moments->rows(), f.moments->rows()}});
  }
  const std::unique_ptr<TensorSink> sink = make_tensor_sink(path, {.side_files = {}, .sync = false});
  sink->begin(tensors);
  std::vector<float> values;
  for (const OutTensor& t : tensors) {
    const Matrix<double>& h = *fisher.linear.at(t.name).moments;
    values.assign(h.data(), h.data() + h.size());
    sink->write(values.data(), values.size() * sizeof(float));
  }
  sink->commit();
}

std::vector<float> values_of(const TensorFile& file, size_t i) {
  std::vector<float> out(file.tensors()[i].elements());
  file.read_f32(i, 0, out.size(), out.data());
  return out;
}

void print_errors(const Fisher& fisher, const TensorFile& model, const std::string& path) {
  const std::unique_ptr<TensorFile> coded = open_any(path);
  std::map<std::string, size_t> places;
  for (size_t i = 0; i < coded->tensors().size(); ++i) places[coded->tensors()[i].name] = i;
  double error = 0, energy = 0, weighted = 0, kl = 0;
  size_t layers = 0;
  for (size_t i = 0; i < model.tensors().size(); ++i) {
    const TensorInfo& info = model.tensors()[i];
    if (info.shape.size() != 2) continue;
    if (!places.contains(info.name)) throw_input("{}: tensor '{}' is missing", path, info.name);
    const std::vector<float> a = values_of(model, i);
    std::vector<float> b = values_of(*coded, places[info.name]);
    if (a.size() != b.size())
      throw_input("{}: tensor '{}' has another shape than in {}", path, info.name, model.path());
    for (size_t e = 0; e < a.size(); ++e) {
      energy += double{a[e]} * double{a[e]};
      b[e] -= a[e];
      error += double{b[e]} * double{b[e]};
    }
    const MatrixView<const float> w(a.data(), info.shape[0], info.shape[1]), e(b.data(), info.shape[0], info.shape[1]);
    for (const auto* parts : {&fisher.linear, &fisher.embeddings}) {
      if (const auto at = parts->find(info.name); at != parts->end()) kl += predicted_kl(at->second, e);
    }
    if (const auto at = fisher.linear.find(info.name); at != fisher.linear.end()) {
      Matrix<float> h = Matrix<float>::uninitialized(w.cols(), w.cols());
      std::copy_n(at->second.moments->data(), h.size(), h.data());
      weighted += weighted_energy(e, h.view()) / weighted_energy(w, h.view());
      ++layers;
    }
  }
  std::printf("%s,%.8g,%.8g,%.8g\n", path.c_str(), error / energy, weighted / static_cast<double>(layers), kl);
  std::fflush(stdout);
}

int run(int argc, char** argv) {
  const std::string usage = "usage: proxies MODEL TEXT TOKENS LENGTH {moments OUT.safetensors | errors FILE...}";
  if (argc < 7) throw_usage("{}", usage);
  const std::string command = argv[5];
  const std::unique_ptr<TensorFile> model = open_any(argv[1]);
  const auto sequences = sequences_of(*make_tokenizer(*model), read_text(argv[2]),
                                      static_cast<size_t>(std::atol(argv[3])), static_cast<size_t>(std::atol(argv[4])));
  if (sequences.empty()) throw_input("{}: has less than {} tokens", argv[2], argv[4]);
  GradientModel gradients(*model, std::filesystem::temp_directory_path(), false);
  const Fisher fisher = measure_fisher(gradients, sequences, {.exact = false});
  if (command == "moments") {
    write_moments(fisher, gradients.head_tensor(), argv[6]);
  } else if (command == "errors") {
    std::printf("file,nmse,weighted_nmse,predicted_kl\n");
    for (int i = 6; i < argc; ++i) print_errors(fisher, *model, argv[i]);
  } else {
    throw_usage("{}", usage);
  }
  return 0;
}

}  // namespace
}  // namespace occ

int main(int argc, char** argv) { return occ::experiment_main(occ::run, argc, argv); }
