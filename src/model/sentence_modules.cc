#include "model/sentence_modules.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "base/option_name.h"
#include "io/json_fields.h"
#include "model/config_keys.h"
#include "model/kernels.h"
#include "tensor/side_files.h"

namespace occ {
namespace {

constexpr std::array<std::string_view, 6> kActivations = {"Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid"};

// Names of poolings: since version 5.3 "pooling_mode": name, before a key for each that is true.
struct PoolingName {
  const char *name, *old_key;
  Pooling pooling;
};
constexpr PoolingName kPoolings[] = {{"cls", "pooling_mode_cls_token", Pooling::kFirst},
                                     {"max", "pooling_mode_max_tokens", Pooling::kMax},
                                     {"mean", "pooling_mode_mean_tokens", Pooling::kMean},
                                     {"mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", Pooling::kMeanSqrt},
                                     {"weightedmean", "pooling_mode_weightedmean_tokens", Pooling::kWeightedMean},
                                     {"lasttoken", "pooling_mode_lasttoken", Pooling::kLast}};

Pooling parse_pooling(const ConfigKeys& keys) {
  if (keys.has("pooling_mode")) {
    const std::string name = keys.text("pooling_mode");
    for (const PoolingName& p : kPoolings) {
      if (name == p.name) return p.pooling;
    }
    keys.fail("pooling_mode", "cls, max, mean, mean_sqrt_len_tokens, weightedmean or lasttoken");
  }
  const PoolingName* found = nullptr;
  for (const PoolingName& p : kPoolings) {
    if (!keys.flag_or(p.old_key, false)) continue;
    if (found != nullptr) keys.fail(p.old_key, fmt::format("either this or {}", found->old_key));
    found = &p;
  }
  return found == nullptr ? Pooling::kMean : found->pooling;
}

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

Matrix<float> read_matrix(const TensorFile& file, const std::string& name, size_t rows, size_t cols) {
  const std::vector<float> values = read_tensor(file, name, {rows, cols});
  Matrix<float> out = Matrix<float>::uninitialized(rows, cols);
  std::copy(values.begin(), values.end(), out.data());
  return out;
}

// Modules may work on other things than the vector of the text, for example on those of tokens.
void require_sentence(const JsonField& config) {
  for (const char* key : {"module_input_name", "module_output_name"}) {
    if (config.at(key).string_or("sentence_embedding") != "sentence_embedding") {
      config.at(key).wrong("sentence_embedding");
    }
  }
}

SentenceModule read_dense(const TensorFile& file, const JsonField& config, const std::string& path, size_t in) {
  constexpr uint64_t kMostWidth = 1 << 20;
  const size_t inputs = config.at("in_features").number(kMostWidth), out = config.at("out_features").number(kMostWidth);
  if (inputs != in || out == 0) throw_input("{}: expected {} in_features, found {}", config.where, in, inputs);
  SentenceModule dense;
  dense.kind = SentenceModule::Kind::kDense;
  dense.activation = last_part(config.at("activation_function").string_or("torch.nn.modules.activation.Tanh"));
  if (std::find(kActivations.begin(), kActivations.end(), dense.activation) == kActivations.end()) {
    throw_input("{}: activation_function: expected one of {}, found {}", config.where, fmt::join(kActivations, ", "),
                printable(dense.activation, 40));
  }
  dense.weight = read_matrix(file, path + "/linear.weight", out, in);
  if (config.at("bias").boolean_or(true)) dense.bias = read_tensor(file, path + "/linear.bias", {out});
  dense.residual = config.at("use_residual").boolean_or(false);
  if (dense.residual && in != out) dense.residual_weight = read_matrix(file, path + "/residual.weight", out, in);
  return dense;
}

Matrix<float> product(const Matrix<float>& x, const Matrix<float>& w, const std::vector<float>& bias) {
  Matrix<float> y = Matrix<float>::uninitialized(x.rows(), w.rows());
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t o = 0; o < w.rows(); ++o) {
      double sum = bias.empty() ? 0 : static_cast<double>(bias[o]);
      for (size_t i = 0; i < x.cols(); ++i) sum += static_cast<double>(x(r, i)) * static_cast<double>(w(o, i));
      y(r, o) = static_cast<float>(sum);
    }
  }
  return y;
}

Matrix<float> apply_dense(const SentenceModule& m, Matrix<float> x) {
  Matrix<float> y = product(x, m.weight, m.bias);
  for (size_t i = 0; i < y.size(); ++i) y.data()[i] = activate(m.activation, y.data()[i]);
  if (!m.residual) return y;
  if (m.residual_weight.size() != 0) x = product(x, m.residual_weight, {});
  for (size_t i = 0; i < y.size(); ++i) y.data()[i] += x.data()[i];
  return y;
}

// The JSON document `name` among the files; null if there is none.
nlohmann::json parse_side(const std::vector<SideFile>& files, const std::string& name, const std::string& where) {
  const SideFile* side = find_side_file(files, name);
  return side == nullptr ? nlohmann::json() : parse_json(text_of(*side), where);
}

}  // namespace

void read_pooling(const TensorFile& file, const std::vector<SideFile>& side_files, ModelConfig* config) {
  const auto where = [&](const char* name) { return file.path() + ": " + name; };
  if (const auto pooling = parse_side(side_files, kPoolingFile, where(kPoolingFile)); !pooling.is_null()) {
    const ConfigKeys keys(pooling, where(kPoolingFile));
    config->pooling = parse_pooling(keys);
    config->says_pooling = true;
    config->pools_prompt = keys.flag_or("include_prompt", true);
  }
  constexpr const char* kTexts = "sentence_bert_config.json";
  constexpr const char* kTokenizer = "tokenizer_config.json";
  config->max_text = config->max_context == 0 ? SIZE_MAX : config->max_context;
  const auto limit = [&](double tokens) {
    if (tokens >= 1 && tokens < static_cast<double>(config->max_text)) config->max_text = static_cast<size_t>(tokens);
  };
  if (const auto texts = parse_side(side_files, kTexts, where(kTexts)); !texts.is_null()) {
    const ConfigKeys keys(texts, where(kTexts));
    config->lowercase = keys.flag_or("do_lower_case", false);
    if (keys.has("max_seq_length")) return limit(static_cast<double>(keys.size("max_seq_length")));
  }
  const nlohmann::json tokenizer = parse_side(side_files, kTokenizer, where(kTokenizer));
  const JsonField longest = JsonField{&tokenizer, where(kTokenizer)}.at("model_max_length");
  if (longest.present()) limit(longest.real().value_or(0));
}

SentenceHead::SentenceHead(const TensorFile& file, const ModelConfig& config)
    : pooling_(config.pooling), pools_prompt_(config.pools_prompt) {
  const std::vector<SideFile> files = file.side_files();
  const std::string where = file.path() + ": modules.json";
  const nlohmann::json values = parse_side(files, "modules.json", where);
  if (values.is_null()) return;
  const JsonField modules{&values, where};
  size_t dim = config.dim;
  for (size_t i = 0; i < modules.array().size(); ++i) {
    const std::string type = last_part(modules.item(i).at("type").string());
    if (type == "Transformer" || type == "Pooling" || type == "Dropout") continue;
    const std::string path = modules.item(i).at("path").string_or("");
    const std::string config_where = file.path() + ": " + path + "/config.json";
    const nlohmann::json own = parse_side(files, path + "/config.json", config_where);
    const JsonField module{&own, config_where};
    require_sentence(module);
    if (type == "Dense") {
      if (own.is_null()) throw_input("{}: expected the configuration of a Dense module, found none", config_where);
      modules_.push_back(read_dense(file, module, path, dim));
      dim = modules_.back().weight.rows();
    } else if (type == "LayerNorm") {
      SentenceModule& norm = modules_.emplace_back();
      norm.kind = SentenceModule::Kind::kLayerNorm;
      norm.scale = read_tensor(file, path + "/norm.weight", {dim});
      norm.bias = read_tensor(file, path + "/norm.bias", {dim});
    } else if (type == "Normalize") {
      modules_.emplace_back();
    } else {
      throw_input("{}: expected modules Transformer, Pooling, Dense, LayerNorm and Normalize, found {}", where,
                  printable(type, 40));
    }
  }
}

void SentenceHead::pool(MatrixView<const float> x, size_t prompt_tokens, float* out) const {
  const size_t dim = x.cols(), end = x.rows(), begin = pools_prompt_ ? 0 : std::min(prompt_tokens, end - 1);
  if (pooling_ == Pooling::kFirst || pooling_ == Pooling::kLast) {
    std::copy_n(x.row(pooling_ == Pooling::kFirst ? begin : end - 1), dim, out);
    return;
  }
  std::fill_n(out, dim, pooling_ == Pooling::kMax ? -INFINITY : 0.0f);
  float sum = 0;
  for (size_t t = begin; t < end; ++t) {
    const float weight = pooling_ == Pooling::kWeightedMean ? static_cast<float>(t + 1) : 1;
    sum += weight;
    for (size_t c = 0; c < dim; ++c) {
      out[c] = pooling_ == Pooling::kMax ? std::max(out[c], x(t, c)) : out[c] + weight * x(t, c);
    }
  }
  if (pooling_ == Pooling::kMax) return;
  const float divisor = pooling_ == Pooling::kMeanSqrt ? std::sqrt(sum) : sum;
  for (size_t c = 0; c < dim; ++c) out[c] /= divisor;
}

Matrix<float> SentenceHead::finish(Matrix<float> x) const {
  for (const SentenceModule& m : modules_) {
    if (m.kind == SentenceModule::Kind::kDense) {
      x = apply_dense(m, std::move(x));
    } else if (m.kind == SentenceModule::Kind::kNormalize) {
      scale_to_unit_length(x.view());
    } else {
      ModelConfig config;
      config.norm = Norm::kLayer;
      config.norm_eps = 1e-5f;
      normalize(config, {m.scale, m.bias}, x.view(), x.view());
    }
  }
  return x;
}

bool SentenceHead::has_weights() const {
  return std::any_of(modules_.begin(), modules_.end(),
                     [](const SentenceModule& m) { return m.kind != SentenceModule::Kind::kNormalize; });
}

bool SentenceHead::normalizes() const {
  return std::any_of(modules_.begin(), modules_.end(),
                     [](const SentenceModule& m) { return m.kind == SentenceModule::Kind::kNormalize; });
}

void scale_to_unit_length(MatrixView<float> rows) {
  for (size_t r = 0; r < rows.rows(); ++r) {
    double squares = 0;
    for (size_t c = 0; c < rows.cols(); ++c)
      squares += static_cast<double>(rows(r, c)) * static_cast<double>(rows(r, c));
    const auto length = static_cast<float>(std::sqrt(squares));
    for (size_t c = 0; length > 0 && c < rows.cols(); ++c) rows(r, c) /= length;
  }
}

std::string find_prompt(const TensorFile& file, const std::optional<std::string>& name) {
  constexpr const char* kPrompts = "config_sentence_transformers.json";
  const std::string where = file.path() + ": " + kPrompts;
  const nlohmann::json values = parse_side(file.side_files(), kPrompts, where);
  const JsonField config{&values, where};
  const std::string wanted = name ? *name : config.at("default_prompt_name").string_or("");
  if (!name && wanted.empty()) return "";
  const JsonField prompts = config.at("prompts"), prompt = prompts.at(wanted);
  if (prompt.present()) return prompt.string();
  std::vector<std::string> known;
  if (prompts.present()) {
    for (const auto& [key, text] : prompts.object().items()) known.push_back(printable(key, 60));
  }
  throw_usage("{}: expected a prompt of {} ({}), found '{}'", option_name("prompt_name"), file.path(),
              known.empty() ? "it has none" : fmt::format("{}", fmt::join(known, ", ")), printable(wanted, 60));
}

}  // namespace occ
