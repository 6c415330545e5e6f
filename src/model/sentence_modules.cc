#include "model/sentence_modules.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "io/json_fields.h"
#include "tensor/side_files.h"

namespace occ {
namespace {

constexpr std::array<std::string_view, 6> kActivations = {"Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid"};

// The last part of "sentence_transformers.models.Dense".
std::string last_part(const std::string& name) { return name.substr(name.rfind('.') + 1); }

float activate(const std::string& name, float x) {
  if (name == "Tanh") return std::tanh(x);
  if (name == "ReLU") return std::max(x, 0.0f);
  if (name == "GELU") return 0.5f * x * (1 + std::erf(x * 0.70710678f));
  if (name == "SiLU") return x / (1 + std::exp(-x));
  if (name == "Sigmoid") return 1 / (1 + std::exp(-x));
  return x;
}

// The floats of a tensor of this shape.
std::vector<float> read_tensor(const TensorFile& file, const std::string& name, std::vector<uint64_t> shape) {
  const size_t i = file.find(name);
  if (i == file.tensors().size()) throw_input("{}: tensor '{}': expected, found none", file.path(), printable(name));
  const TensorInfo& info = file.tensors()[i];
  if (info.shape != shape || !is_float(info.dtype)) {
    throw_input("{}: tensor '{}': expected floats of shape [{}], found [{}]", file.path(), printable(name),
                fmt::join(shape, ", "), fmt::join(info.shape, ", "));
  }
  std::vector<float> out(info.elements());
  file.read_f32(i, 0, out.size(), out.data());
  return out;
}

DenseModule read_dense(const TensorFile& file, const std::vector<SideFile>& files, const std::string& path, size_t in) {
  const SideFile* side = find_side_file(files, path + "/config.json");
  const std::string where = file.path() + ": " + path + "/config.json";
  if (side == nullptr) throw_input("{}: expected the configuration of a Dense module, found none", where);
  const nlohmann::json values = parse_json(text_of(*side), where);
  const JsonField config{&values, where};
  constexpr uint64_t kMost = 1 << 20;
  const size_t inputs = config.at("in_features").number(kMost), out = config.at("out_features").number(kMost);
  if (inputs != in || out == 0) throw_input("{}: expected {} in_features, found {}", where, in, inputs);
  DenseModule dense;
  dense.activation = last_part(config.at("activation_function").string_or("torch.nn.modules.activation.Tanh"));
  if (std::find(kActivations.begin(), kActivations.end(), dense.activation) == kActivations.end()) {
    throw_input("{}: activation_function: expected one of {}, found {}", where, fmt::join(kActivations, ", "),
                printable(dense.activation, 40));
  }
  const std::vector<float> weight = read_tensor(file, path + "/linear.weight", {out, in});
  dense.weight = Matrix<float>::uninitialized(out, in);
  std::copy(weight.begin(), weight.end(), dense.weight.data());
  if (config.at("bias").boolean_or(true)) dense.bias = read_tensor(file, path + "/linear.bias", {out});
  return dense;
}

}  // namespace

std::vector<DenseModule> read_dense_modules(const TensorFile& file, size_t dim) {
  const std::vector<SideFile> files = file.side_files();
  const SideFile* side = find_side_file(files, "modules.json");
  std::vector<DenseModule> out;
  if (side == nullptr) return out;
  const std::string where = file.path() + ": modules.json";
  const nlohmann::json values = parse_json(text_of(*side), where);
  const JsonField modules{&values, where};
  for (size_t i = 0; i < modules.array().size(); ++i) {
    const std::string type = last_part(modules.item(i).at("type").string());
    if (type == "Transformer" || type == "Pooling" || type == "Normalize" || type == "Dropout") continue;
    if (type != "Dense")
      throw_input("{}: expected modules Transformer, Pooling, Dense and Normalize, found {}", where,
                  printable(type, 40));
    out.push_back(read_dense(file, files, modules.item(i).at("path").string(), dim));
    dim = out.back().weight.rows();
  }
  return out;
}

Matrix<float> apply_modules(const std::vector<DenseModule>& modules, Matrix<float> x) {
  for (const DenseModule& m : modules) {
    Matrix<float> y = Matrix<float>::uninitialized(x.rows(), m.weight.rows());
    for (size_t r = 0; r < x.rows(); ++r) {
      for (size_t o = 0; o < m.weight.rows(); ++o) {
        double sum = m.bias.empty() ? 0 : static_cast<double>(m.bias[o]);
        for (size_t i = 0; i < x.cols(); ++i)
          sum += static_cast<double>(x.row(r)[i]) * static_cast<double>(m.weight.row(o)[i]);
        y.row(r)[o] = activate(m.activation, static_cast<float>(sum));
      }
    }
    x = std::move(y);
  }
  return x;
}

}  // namespace occ
