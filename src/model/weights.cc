#include "model/weights.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "io/json.h"

namespace occ {
namespace {

std::string shape_text(const std::vector<uint64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

// Of the outputs of all of them; none if none has any.
std::vector<float> join_biases(std::initializer_list<const Linear*> parts) {
  std::vector<float> bias;
  if (std::all_of(parts.begin(), parts.end(), [](const Linear* p) { return p->bias.empty(); })) return bias;
  for (const Linear* p : parts) {
    const size_t at = bias.size();
    bias.resize(at + p->outputs);
    std::copy(p->bias.begin(), p->bias.end(), bias.begin() + static_cast<ptrdiff_t>(at));
  }
  return bias;
}

// All linear layers of a Layer or a const Layer, also those that it does not have.
template <typename L>
auto all_linears(L& l) {
  std::vector<decltype(&l.q)> all = {&l.qkv, &l.q, &l.k, &l.v, &l.attention_output, &l.router};
  for (auto& m : l.mlps) all.insert(all.end(), {&m.gate_up, &m.gate, &m.up, &m.down});
  return all;
}

}  // namespace

bool is_buffer(const std::string& name) {
  for (const std::string_view end : {".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias",
                                     ".rotary_emb.inv_freq", ".attn_rot_embd"}) {
    if (name.size() >= end.size() && std::string_view(name).substr(name.size() - end.size()) == end) return true;
  }
  return false;
}

WeightLoader::WeightLoader(const TensorFile& file, const ModelConfig& config, Arithmetic arithmetic)
    : file_(file), config_(config), arithmetic_(arithmetic) {
  for (size_t i = 0; i < file.tensors().size(); ++i) index_.emplace(file.tensors()[i].name, i);
  const Architecture& a = find_architecture(config.architecture);
  names_ = config.gguf_names ? a.gguf_names : a.hf_names;
  if (!config.gguf_names) prefix_ = hf_prefix(file, a);
  check_model();
  reading_ = true;
}

void WeightLoader::check_model() {
  const ModelConfig& c = config_;
  require(embedding_tensor(names_.token_embedding), {c.vocab_size, c.dim});
  if (c.position == Position::kLearned)
    require(embedding_tensor(names_.position_embedding), {c.learned_positions(), c.dim});
  if (c.encoder) {
    if (has_token_types()) first_row(names_.token_type_embedding, c.dim);
    norm(names_.embedding_norm, c.dim);
  }
  for (size_t i = 0; i < c.layers; ++i) layer(i);
  if (!c.encoder) {
    norm(names_.final_norm, c.dim);
    const std::string head = head_tensor();
    if (!c.tied_embeddings || has(head)) require(head, {c.vocab_size, c.dim});
  }
  if (c.position == Position::kRotary) {
    ModelConfig unused = c;
    read_rope_factors(*this, unused);
  }
}

size_t WeightLoader::require(const std::string& tensor, const std::vector<uint64_t>& shape) {
  const auto at = index_.find(tensor);
  if (at == index_.end()) {
    throw_input("{}: tensor '{}': expected shape {}, found no such tensor", file_.path(), tensor, shape_text(shape));
  }
  const TensorInfo& info = file_.tensors()[at->second];
  if (info.shape != shape) {
    throw_input("{}: tensor '{}': expected shape {}, found {}", file_.path(), tensor, shape_text(shape),
                shape_text(info.shape));
  }
  if (!is_float(info.dtype)) {
    throw_input("{}: tensor '{}': expected floats, found {}", file_.path(), tensor, dtype_name(info.dtype));
  }
  used_.insert(at->second);
  return at->second;
}

std::vector<float> WeightLoader::vector(const std::string& tensor, std::vector<uint64_t> shape) {
  const size_t index = require(tensor, shape);
  if (!reading_) return {};
  std::vector<float> out(file_.tensors()[index].elements());
  file_.read_f32(index, 0, out.size(), out.data());
  return out;
}

std::vector<float> WeightLoader::first_row(const std::string& name, size_t cols) {
  const std::string tensor = prefix_ + name + ".weight";
  const auto at = index_.find(tensor);
  const bool matrix = at != index_.end() && file_.tensors()[at->second].shape.size() == 2;
  const uint64_t rows = matrix ? std::max<uint64_t>(1, file_.tensors()[at->second].shape[0]) : 1;
  const size_t index = require(tensor, {rows, cols});
  if (!reading_) return {};
  std::vector<float> out(cols);
  file_.read_f32(index, 0, cols, out.data());
  return out;
}

Linear WeightLoader::linear(const std::string& name, size_t out, size_t in, bool needs_bias) {
  Linear linear;
  const std::string base = prefix_ + name;
  linear.tensor = base + ".weight";
  const bool transposed = config_.transposed_weights;
  linear.outputs = out;
  require(linear.tensor, transposed ? std::vector<uint64_t>{in, out} : std::vector<uint64_t>{out, in});
  if (needs_bias || has(base + ".bias")) linear.bias = vector(base + ".bias", {out});
  return linear;
}

std::string WeightLoader::embedding_tensor(const std::string& name) const { return prefix_ + name + ".weight"; }

std::string WeightLoader::head_tensor() const {
  const Architecture& a = find_architecture(config_.architecture);
  return config_.gguf_names ? names_.head + ".weight" : hf_head_tensor(prefix_, a);
}

Linear WeightLoader::head() {
  Linear linear;
  linear.tensor = head_tensor();
  linear.outputs = config_.vocab_size;
  linear.weight = make_operator(file_, require(linear.tensor, {config_.vocab_size, config_.dim}), {arithmetic_, false});
  return linear;
}

Linear WeightLoader::embedding(const std::string& name, size_t rows, size_t cols) {
  Linear linear;
  linear.tensor = embedding_tensor(name);
  linear.outputs = rows;
  linear.weight = make_operator(file_, require(linear.tensor, {rows, cols}), {arithmetic_, false});
  return linear;
}

std::vector<float> WeightLoader::norm_factors(const std::string& tensor, size_t size) {
  std::vector<float> out = vector(tensor, {size});
  if (config_.norm_adds_one) {
    for (float& w : out) w += 1;
  }
  return out;
}

NormWeights WeightLoader::norm(const std::string& name, size_t size) {
  if (name.empty()) return {};
  const std::string base = prefix_ + name;
  const bool old_names = has(base + ".gamma") && !has(base + ".weight");  // of BERT's first checkpoints
  NormWeights norm;
  norm.weight_tensor = base + (old_names ? ".gamma" : ".weight");
  norm.bias_tensor = base + (old_names ? ".beta" : ".bias");
  norm.weight = norm_factors(norm.weight_tensor, size);
  if (config_.norm == Norm::kLayer || has(norm.bias_tensor)) norm.bias = vector(norm.bias_tensor, {size});
  return norm;
}

Mlp WeightLoader::mlp(const std::string& layer, const std::string& expert) {
  const ModelConfig& c = config_;
  const auto name = [&](const std::string& pattern) { return name_in_layer(pattern, layer, expert); };
  Mlp m;
  if (!names_.gate_up.empty()) {
    m.gate_up = linear(name(names_.gate_up), 2 * c.ff_dim, c.dim, c.mlp_bias);
  } else {
    m.up = linear(name(names_.up), c.ff_dim, c.dim, c.mlp_bias);
    if (!names_.gate.empty()) m.gate = linear(name(names_.gate), c.ff_dim, c.dim, c.mlp_bias);
  }
  m.gate_up_bias = join_biases({&m.gate_up, &m.gate, &m.up});
  m.down = linear(name(names_.down), c.dim, c.ff_dim, c.mlp_bias);
  return m;
}

Layer WeightLoader::layer(size_t i) {
  const ModelConfig& c = config_;
  const size_t q_dim = c.heads * c.head_dim, kv_dim = c.kv_heads * c.head_dim;
  const auto name = [&](const std::string& n) { return name_in_layer(n, std::to_string(i)); };
  Layer l;
  l.kind = c.layer_kind(i);
  l.attention_norm = norm(name(names_.attention_norm), c.dim);
  l.attention_post_norm = norm(name(names_.attention_post_norm), c.dim);
  if (!names_.qkv.empty()) {
    l.qkv = linear(name(names_.qkv), q_dim + 2 * kv_dim, c.dim, c.qkv_bias);
    l.qkv_bias = join_biases({&l.qkv});
  } else {
    l.q = linear(name(names_.q), q_dim, c.dim, c.qkv_bias);
    l.k = linear(name(names_.k), kv_dim, c.dim, c.qkv_bias);
    l.v = linear(name(names_.v), kv_dim, c.dim, c.qkv_bias);
    l.qkv_bias = join_biases({&l.q, &l.k, &l.v});
  }
  if (!names_.q_norm.empty()) {
    l.q_norm_tensor = prefix_ + name(names_.q_norm) + ".weight";
    l.k_norm_tensor = prefix_ + name(names_.k_norm) + ".weight";
    l.q_norm = norm_factors(l.q_norm_tensor, c.norms_whole_queries ? q_dim : c.head_dim);
    l.k_norm = norm_factors(l.k_norm_tensor, c.norms_whole_queries ? kv_dim : c.head_dim);
  }
  l.attention_output = linear(name(names_.attention_output), c.dim, q_dim, c.attention_output_bias);
  l.mlp_norm = norm(name(names_.mlp_norm), c.dim);
  l.mlp_post_norm = norm(name(names_.mlp_post_norm), c.dim);
  if (c.experts != 0) {
    l.router = linear(name(names_.router), c.experts, c.dim, false);
    for (size_t e = 0; e < c.experts; ++e) l.mlps.push_back(mlp(std::to_string(i), std::to_string(e)));
  } else {
    l.mlps.push_back(mlp(std::to_string(i), ""));
  }
  return l;
}

std::vector<Layer> WeightLoader::layers() {
  std::vector<Layer> out;
  for (size_t i = 0; i < config_.layers; ++i) out.push_back(layer(i));
  std::vector<Linear*> all;
  for (Layer& l : out) {
    for (Linear* linear : all_linears(l)) {
      if (!linear->tensor.empty()) all.push_back(linear);
    }
  }
  // Small matrices are decoded on one thread each. A thread that waits for others starts no further one, which would
  // take memory.
  parallel_for(all.size(), [&](size_t i) { run_isolated([&] { load(*all[i]); }); });
  return out;
}

void WeightLoader::load(Linear& linear) const {
  linear.weight = make_operator(file_, index_.at(linear.tensor), {arithmetic_, config_.transposed_weights});
}

std::vector<size_t> WeightLoader::unused() const {
  std::vector<size_t> out;
  for (size_t i = 0; i < file_.tensors().size(); ++i) {
    const TensorInfo& info = file_.tensors()[i];
    if (used_.count(i) == 0 && !is_buffer(info.name)) out.push_back(i);
  }
  return out;
}

void read_rope_factors(WeightLoader& loader, ModelConfig& config) {
  if (!config.gguf_names) return;
  const size_t pairs = config.rotary_dim / 2;
  if (loader.has("rope_freqs.weight")) config.rope_factors = loader.vector("rope_freqs.weight", {pairs});
  if (config.rope_scaling != RopeScaling::kLongRope && !loader.has("rope_factors_long.weight")) return;
  config.rope_scaling = RopeScaling::kLongRope;
  config.rope_factors = loader.vector("rope_factors_short.weight", {pairs});
  config.rope_long_factors = loader.vector("rope_factors_long.weight", {pairs});
}

uint64_t layer_bytes(const Layer& layer) {
  uint64_t bytes = 0;
  for (const Linear* l : all_linears(layer)) {
    if (*l) bytes += l->weight->resident_bytes();
  }
  return bytes;
}

}  // namespace occ
