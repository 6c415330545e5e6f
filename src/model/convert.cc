#include "model/convert.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/check.h"
#include "base/error.h"
#include "io/copy_tensor.h"
#include "io/gguf.h"
#include "io/gguf_json.h"
#include "io/json.h"
#include "model/architectures.h"
#include "model/config_export.h"
#include "model/rope.h"
#include "model/row_orders.h"
#include "model/same_config.h"
#include "model/sentence_modules.h"
#include "model/weights.h"
#include "simd/panel.h"
#include "tensor/side_files.h"
#include "tokenizer/tokenizer_export.h"

namespace occ {
namespace {

using Part = std::string TensorNames::*;
constexpr Part kParts[] = {&TensorNames::token_embedding,
                           &TensorNames::position_embedding,
                           &TensorNames::token_type_embedding,
                           &TensorNames::embedding_norm,
                           &TensorNames::final_norm,
                           &TensorNames::head,
                           &TensorNames::attention_norm,
                           &TensorNames::attention_post_norm,
                           &TensorNames::q,
                           &TensorNames::k,
                           &TensorNames::v,
                           &TensorNames::qkv,
                           &TensorNames::q_norm,
                           &TensorNames::k_norm,
                           &TensorNames::attention_output,
                           &TensorNames::mlp_norm,
                           &TensorNames::mlp_post_norm,
                           &TensorNames::gate,
                           &TensorNames::up,
                           &TensorNames::gate_up,
                           &TensorNames::down};

// What a name says: "blk.7.attn_q.bias" is {q, 7, ".bias"}.
struct ParsedName {
  Part part;
  std::string layer, suffix;
};

std::optional<ParsedName> parse_name(const std::string& name, const TensorNames& names, const std::string& prefix) {
  for (const char* suffix : {".weight", ".bias"}) {
    if (!name.ends_with(suffix)) continue;
    const std::string base = name.substr(0, name.size() - std::char_traits<char>::length(suffix));
    for (const Part part : kParts) {
      if ((names.*part).empty()) continue;
      const std::string pattern = (part == &TensorNames::head ? hf_head_prefix(prefix) : prefix) + names.*part;
      const size_t mark = pattern.find('#');
      if (mark == std::string::npos) {
        if (base == pattern) return ParsedName{part, "", suffix};
        continue;
      }
      const std::string before = pattern.substr(0, mark), after = pattern.substr(mark + 1);
      if (base.size() <= before.size() + after.size() || !base.starts_with(before) || !base.ends_with(after)) continue;
      const std::string layer = base.substr(before.size(), base.size() - before.size() - after.size());
      if (layer.find_first_not_of("0123456789") == std::string::npos) return ParsedName{part, layer, suffix};
    }
  }
  return std::nullopt;
}

std::string make_name(const ParsedName& parsed, const TensorNames& names, const std::string& prefix) {
  const std::string& name = names.*parsed.part;
  OCC_CHECK(!name.empty());
  return (parsed.part == &TensorNames::head ? hf_head_prefix(prefix) : prefix) + name_in_layer(name, parsed.layer) +
         parsed.suffix;
}

bool is_norm(Part part) {
  for (const Part p : {&TensorNames::embedding_norm, &TensorNames::final_norm, &TensorNames::attention_norm,
                       &TensorNames::attention_post_norm, &TensorNames::q_norm, &TensorNames::k_norm,
                       &TensorNames::mlp_norm, &TensorNames::mlp_post_norm}) {
    if (p == part) return true;
  }
  return false;
}

bool is_linear(Part part) {
  for (const Part p :
       {&TensorNames::q, &TensorNames::k, &TensorNames::v, &TensorNames::qkv, &TensorNames::attention_output,
        &TensorNames::gate, &TensorNames::up, &TensorNames::gate_up, &TensorNames::down}) {
    if (p == part) return true;
  }
  return false;
}

// Tensors of another file, renamed and rearranged, or made here.
class ConvertedFile final : public TensorFile {
 public:
  using Change = std::function<Matrix<float>(Matrix<float>)>;
  struct Source {
    size_t index = 0;
    Change change;         // of the whole tensor, a vector as one column; null: as it is
    Matrix<float> values;  // where there is no source
  };

  ConvertedFile(const TensorFile& base, std::string format) : base_(base), format_(std::move(format)) {}
  void add(TensorInfo info, Source source) {
    infos_.push_back(std::move(info));
    sources_.push_back(std::move(source));
  }
  void add_side_file(SideFile file) { side_files_.push_back(std::move(file)); }
  void add_note(std::string note) { notes_.push_back(std::move(note)); }
  void note_left_out(const std::vector<std::string>& names) {
    if (names.empty()) return;
    notes_.push_back(fmt::format("{} tensors are not used by the model and left out: {}{}", names.size(), names[0],
                                 names.size() > 1 ? ", ..." : ""));
  }

  std::string path() const override { return base_.path(); }
  std::string format() const override { return format_; }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override {
    const Source& s = sources_[i];
    if (s.values.size() != 0) {
      std::copy_n(s.values.data() + first, count, out);
    } else if (!s.change) {
      base_.read_f32(s.index, first, count, out);
    } else {
      const std::shared_ptr<const Matrix<float>> values = changed(i);
      std::copy_n(values->data() + first, count, out);
    }
  }
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override {
    const Source& s = sources_[i];
    if (s.values.size() == 0 && !s.change && base_.tensors()[s.index].dtype == infos_[i].dtype) {
      return base_.read_raw(s.index, first, count, out);
    }
    std::vector<float> values(count);
    read_f32(i, first, count, values.data());
    convert_from_f32(infos_[i].dtype, values.data(), out, count);
  }
  size_t read_granularity(size_t i) const override {
    const Source& s = sources_[i];
    return s.values.size() != 0 || s.change ? 1 : base_.read_granularity(s.index);
  }
  std::vector<SideFile> side_files() const override { return side_files_; }
  std::vector<std::string> notes() const override { return notes_; }
  uint64_t file_bytes() const override { return base_.file_bytes(); }

 private:
  // The rearranged tensor; the last one is kept, for readers go through a tensor in order.
  std::shared_ptr<const Matrix<float>> changed(size_t i) const {
    const std::lock_guard lock(mutex_);
    if (last_ == nullptr || last_index_ != i) {
      const TensorInfo& info = base_.tensors()[sources_[i].index];
      const bool vector = info.shape.size() == 1;
      Matrix<float> w = Matrix<float>::uninitialized(info.shape[0], vector ? 1 : info.shape[1]);
      base_.read_f32(sources_[i].index, 0, w.size(), w.data());
      last_ = std::make_shared<const Matrix<float>>(sources_[i].change(std::move(w)));
      last_index_ = i;
    }
    return last_;
  }

  const TensorFile& base_;
  std::string format_;
  std::vector<TensorInfo> infos_;
  std::vector<Source> sources_;
  std::vector<SideFile> side_files_;
  std::vector<std::string> notes_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Matrix<float>> last_;
  mutable size_t last_index_ = 0;
};

// What one tensor needs to become what the other form has in its place; null: nothing.
ConvertedFile::Change change_of(const ParsedName& name, const ModelConfig& from, const ModelConfig& to) {
  const bool q = name.part == &TensorNames::q, k = name.part == &TensorNames::k;
  if ((q || k) && from.rope_pairs != to.rope_pairs) {
    const std::vector<size_t> rows =
        rotary_rows(q ? from.heads : from.kv_heads, from.head_dim, from.rotary_dim, to.rope_pairs);
    return [rows](Matrix<float> w) { return gather_rows(w, rows); };
  }
  if (name.part == &TensorNames::position_embedding && from.position_offset > to.position_offset) {
    const size_t left_out = from.position_offset - to.position_offset;
    return [left_out](const Matrix<float>& w) {
      Matrix<float> out = Matrix<float>::uninitialized(w.rows() - left_out, w.cols());
      std::copy_n(w.row(left_out), out.size(), out.data());
      return out;
    };
  }
  if (is_norm(name.part) && name.suffix == ".weight" && from.norm_adds_one != to.norm_adds_one) {
    const float change = from.norm_adds_one ? 1.0f : -1.0f;
    return [change](Matrix<float> w) {
      for (size_t r = 0; r < w.rows(); ++r) w(r, 0) += change;
      return w;
    };
  }
  const bool regroup = name.part == &TensorNames::qkv && from.qkv_by_head != to.qkv_by_head;
  const bool turn =
      is_linear(name.part) && name.suffix == ".weight" && from.transposed_weights != to.transposed_weights;
  if (!regroup && !turn) return nullptr;
  const std::vector<size_t> rows =
      regroup ? fused_rows(from.heads, from.head_dim, to.qkv_by_head) : std::vector<size_t>{};
  return [=](Matrix<float> w) {
    if (regroup) w = gather_rows(w, rows);
    return turn ? transposed(w) : std::move(w);
  };
}

SideFile side_file(std::string name, const std::string& text) {
  return {std::move(name), Bytes(text.begin(), text.end())};
}

bool is_dropped(const std::string& name) {
  return is_buffer(name) || name.ends_with("position_ids") || name.find("pooler.") != std::string::npos;
}

// Renames and rearranges all tensors that the model uses, which `loader` knows; others are left out with a note.
// In GGUF some become f32 (is_f32_in_gguf). `unknown` decides what to do with one that has no name in the other form.
void convert_tensors(const TensorFile& file, const WeightLoader& loader, const ModelConfig& from, const ModelConfig& to,
                     const TensorNames& names, const std::string& prefix, const TensorNames& new_names,
                     const std::string& new_prefix, bool to_gguf, const std::function<void(const TensorInfo&)>& unknown,
                     ConvertedFile* out) {
  const std::vector<size_t> indices = loader.unused();
  const std::set<size_t> unused(indices.begin(), indices.end());
  std::vector<std::string> left_out;
  for (size_t i = 0; i < file.tensors().size(); ++i) {
    TensorInfo info = file.tensors()[i];
    if (unused.contains(i)) {
      if (!is_dropped(info.name)) left_out.push_back(info.name);
      continue;
    }
    const std::optional<ParsedName> parsed = parse_name(info.name, names, prefix);
    if (!parsed || (new_names.*parsed->part).empty()) {
      unknown(info);
      continue;
    }
    info.name = make_name(*parsed, new_names, new_prefix);
    if (to_gguf && is_f32_in_gguf(info)) info.dtype = DType::kF32;
    ConvertedFile::Source source;
    source.index = i;
    source.change = change_of(*parsed, from, to);
    const DType stored = file.tensors()[i].dtype;  // doubles are changed as f32
    if (stored == DType::kF64 && (source.change || info.dtype != stored) && !fits(file, i, DType::kF32)) {
      throw_input("{}: tensor '{}': expected values within the range of F32", file.path(), file.tensors()[i].name);
    }
    const bool turned = source.change && is_linear(parsed->part) && from.transposed_weights != to.transposed_weights &&
                        info.shape.size() == 2;
    if (turned) std::swap(info.shape[0], info.shape[1]);
    if (parsed->part == &TensorNames::position_embedding) info.shape[0] -= from.position_offset - to.position_offset;
    out->add(std::move(info), std::move(source));
  }
  out->note_left_out(left_out);
}

// What Llama 3's scaling divides each frequency by.
std::vector<float> llama3_divisors(ModelConfig config) {
  config.rope_scaling = RopeScaling::kLlama3;
  const Rope scaled(config, false);
  config.rope_scaling = RopeScaling::kNone;
  const Rope plain(config, false);
  std::vector<float> out;
  for (size_t i = 0; i < plain.pairs(); ++i) {
    out.push_back(static_cast<float>(plain.frequencies()[i] / scaled.frequencies()[i]));
  }
  return out;
}

// The frequencies' divisors of rope_freqs.weight as the parameters of Llama 3 that make them.
void find_llama3_scaling(const TensorFile& file, const std::vector<float>& factors, ModelConfig* config) {
  ModelConfig trial = *config;
  trial.rope_scaling = RopeScaling::kLlama3;
  trial.rope_factor = *std::max_element(factors.begin(), factors.end());
  for (size_t original = 32; original <= (size_t{1} << 20); original *= 2) {
    trial.rope_original_context = original;
    const std::vector<float> made = llama3_divisors(trial);
    bool same = made.size() == factors.size();
    for (size_t i = 0; same && i < made.size(); ++i) same = std::abs(made[i] - factors[i]) <= 1e-4f * factors[i];
    if (!same) continue;
    *config = trial;
    return;
  }
  throw_input("{}: tensor 'rope_freqs.weight': expected the frequencies of Llama 3, which config.json can express",
              file.path());
}

[[noreturn]] void fail_unknown(const TensorFile& file, const TensorInfo& info, const char* where) {
  throw_input("{}: tensor '{}': expected a tensor that {} has a name for", file.path(), info.name, where);
}

}  // namespace

bool is_gguf_model(const TensorFile& file) {
  return file.find("token_embd.weight") != file.tensors().size() &&
         (dynamic_cast<const GgufFile*>(&file) != nullptr ||
          find_side_file(file.side_files(), kGgufSideFile) != nullptr);
}

bool is_f32_in_gguf(const TensorInfo& t) {
  const auto has = [&](const char* part) { return t.name.find(part) != std::string::npos; };
  return is_float(t.dtype) && (t.shape.size() < 2 || has("norm") || has("ffn_gate_inp") ||
                               t.name == "position_embd.weight" || t.name == "token_types.weight");
}

bool is_hf_model(const TensorFile& file) {
  return !is_gguf_model(file) && find_side_file(file.side_files(), "config.json") != nullptr;
}

std::unique_ptr<TensorFile> as_hugging_face(const TensorFile& file) {
  ModelConfig config = read_config(file);
  OCC_CHECK(config.gguf_names);
  WeightLoader loader(file, config, Arithmetic::kF32);
  const Architecture& a = find_architecture(config.architecture);
  const std::vector<SideFile> files = file.side_files();
  const SideFile* metadata_file = find_side_file(files, kGgufSideFile);
  OCC_CHECK(metadata_file != nullptr);
  const GgufMetadata metadata = parse_gguf_metadata_json(text_of(*metadata_file), file.path() + ": " + kGgufSideFile);
  if (loader.has("rope_freqs.weight")) {
    find_llama3_scaling(file, loader.vector("rope_freqs.weight", {config.rotary_dim / 2}), &config);
  }
  ExportFacts facts;
  facts.bos = metadata.uint("tokenizer.ggml.bos_token_id");
  facts.eos = metadata.uint("tokenizer.ggml.eos_token_id");
  const auto has_bias = [&](Part part) {
    return file.find(make_name({part, "0", ".bias"}, a.gguf_names, "")) != file.tensors().size();
  };
  config.attention_output_bias |= has_bias(&TensorNames::attention_output);
  config.mlp_bias |= has_bias(&TensorNames::down);
  if (const size_t i = file.find(a.gguf_names.token_type_embedding + ".weight"); i != file.tensors().size()) {
    facts.token_types = file.tensors()[i].shape[0];
  }
  const std::string config_json = hf_config_json(config, facts, file.path());

  // What the new configuration says of the order of rows decides what is rearranged.
  ModelConfig to;
  to.architecture = a.name;
  a.read_hf(ConfigKeys(parse_json(config_json, "config.json"), "config.json"), to);
  check_same(file, config, to, "config.json");
  auto out = std::make_unique<ConvertedFile>(file, "hf");
  convert_tensors(
      file, loader, config, to, a.gguf_names, "", a.hf_names, a.hf_prefixes[0], false,
      [&](const TensorInfo& info) {
        if (info.name != "rope_freqs.weight") fail_unknown(file, info, "Hugging Face's format");
      },
      out.get());
  out->add_side_file(side_file("config.json", config_json));
  if (config.encoder || config.says_pooling) {
    out->add_side_file(side_file("modules.json", sentence_modules_json()));
    out->add_side_file(side_file(kPoolingFile, pooling_json(config)));
  }
  for (SideFile& f : hf_tokenizer_files(metadata, file.path())) out->add_side_file(std::move(f));
  return out;
}

std::unique_ptr<TensorFile> as_gguf(const TensorFile& file) {
  const ModelConfig config = read_config(file);
  OCC_CHECK(!config.gguf_names);
  const WeightLoader check(file, config, Arithmetic::kF32);
  if (config.experts != 0) {
    throw_input("{}: expected a model without experts: mixtures of experts cannot be written as GGUF", file.path());
  }
  const SentenceHead head(file, config);
  if (head.has_weights()) {
    throw_input("{}: its modules behind the pooling (modules.json) cannot be expressed in GGUF", file.path());
  }
  const Architecture& a = find_architecture(config.architecture);
  const std::string name = std::filesystem::path(file.path()).stem().string();
  GgufMetadata metadata = gguf_config(config, name, file.path());
  // As above: GGUF's own description says how its rows stand.
  const std::string& gguf_name = *metadata.string("general.architecture");
  ModelConfig to;
  const ConfigKeys keys = gguf_config_keys(metadata, file.path(), gguf_name + ".");
  read_gguf_sizes(keys, to);
  find_gguf_architecture(gguf_name)->read_gguf(keys, to);
  auto out = std::make_unique<ConvertedFile>(file, "gguf");
  convert_tensors(
      file, check, config, to, a.hf_names, hf_prefix(file, a), a.gguf_names, "", true,
      [&](const TensorInfo& info) {
        if (!is_dropped(info.name)) fail_unknown(file, info, "GGUF");
      },
      out.get());
  if (head.normalizes()) out->add_note("GGUF does not say that vectors have length 1: embed with --normalize");
  if (config.rope_scaling == RopeScaling::kLlama3) {
    const std::vector<float> factors = llama3_divisors(config);
    TensorInfo info{.name = "rope_freqs.weight", .shape = {factors.size()}, .dtype = DType::kF32, .stored_type = ""};
    ConvertedFile::Source source;
    source.values = Matrix<float>(1, factors.size());
    std::copy(factors.begin(), factors.end(), source.values.data());
    out->add(std::move(info), std::move(source));
  }
  if (const size_t i = file.find(hf_prefix(file, a) + a.hf_names.token_type_embedding + ".weight");
      config.encoder && i != file.tensors().size()) {
    metadata.append("tokenizer.ggml.token_type_count", static_cast<uint32_t>(file.tensors()[i].shape[0]));
  }
  try {
    add_gguf_tokenizer(file.side_files(), file.path(), config.vocab_size, &metadata);
  } catch (const nlohmann::json::exception& e) {  // a value of another type than the key has
    throw_input("{}: its tokenizer: {}", file.path(), e.what());
  }
  out->add_side_file(side_file(kGgufSideFile, gguf_metadata_json(metadata)));
  check_same(file, config, read_config(*out), "GGUF");
  return out;
}

}  // namespace occ
