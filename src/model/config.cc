#include "model/config.h"

#include <algorithm>

#include "base/error.h"
#include "io/gguf.h"
#include "io/gguf_json.h"
#include "io/json.h"
#include "model/architectures.h"
#include "model/sentence_modules.h"
#include "tensor/side_files.h"

namespace occ {
namespace {

constexpr const char* kHfSideFile = "config.json";

[[noreturn]] void fail_unsupported(const std::string& where, const std::string& found) {
  throw_input("{}: architecture: expected one of {}, found {}", where, architecture_list(), printable(found, 60));
}

// Whether a class of transformers is `known` or, as embedding models have it, the same model without its head.
bool is_class(const std::string& name, const std::string& known) {
  if (name == known) return true;
  return name.ends_with("Model") && known == name.substr(0, name.size() - 5) + "ForCausalLM";
}

const Architecture* find_hf_architecture(const ConfigKeys& keys, std::string* name) {
  const bool named = keys.has("architectures");
  const std::vector<std::string> names =
      named ? keys.texts("architectures") : std::vector<std::string>{keys.text_or("model_type", "none")};
  *name = names.empty() ? "none" : names[0];
  for (const Architecture& a : architectures()) {
    for (const std::string& known : named ? a.hf_classes : a.model_types) {
      if (named ? is_class(*name, known) : *name == known) return &a;
    }
  }
  return nullptr;
}

// The keys of the language model and its description. A model of images and text has those of its text tower, whose
// model_type may end in "_text", in text_config.
const Architecture& hf_architecture(ConfigKeys* keys) {
  if (!keys->is_object("text_config")) {
    std::string name;
    if (const Architecture* a = find_hf_architecture(*keys, &name)) return *a;
    fail_unsupported(keys->where(), name);
  }
  ConfigKeys text = keys->object("text_config");
  const Architecture* a = nullptr;
  const std::string type = text.text_or("model_type", "none");
  for (const Architecture& known : architectures()) {
    for (const std::string& t : known.model_types) {
      if (type == t || type == t + "_text") a = &known;
    }
  }
  if (a == nullptr) fail_unsupported(text.where(), type);
  if (keys->has("tie_word_embeddings"))
    text.set_flag("tie_word_embeddings", keys->flag_or("tie_word_embeddings", true));
  text.add_defaults(a->hf_defaults);
  *keys = text;
  return *a;
}

// What the configuration does not say is decided by the file: no head, no untied one. A class without a head needs none.
bool ties_embeddings(const ConfigKeys& keys, const TensorFile& file, const Architecture& a) {
  const bool has_head = file.find(hf_head_tensor(hf_prefix(file, a), a)) != file.tensors().size();
  const std::vector<std::string> names =
      keys.has("architectures") ? keys.texts("architectures") : std::vector<std::string>();
  if (!has_head && !names.empty() && names[0].ends_with("Model")) return true;
  return keys.flag_or("tie_word_embeddings", !has_head);
}

ModelConfig read_hf(const TensorFile& file, const Bytes& bytes, const std::vector<SideFile>& side_files) {
  const std::string where = file.path() + ": " + kHfSideFile;
  ConfigKeys keys(parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, where), where);
  const Architecture& a = hf_architecture(&keys);
  ModelConfig config;
  config.architecture = a.name;
  a.read_hf(keys, config);
  config.tied_embeddings = !config.encoder && ties_embeddings(keys, file, a);
  config.max_text = config.max_context;
  if (!config.encoder) config.pooling = Pooling::kLast;
  if (config.encoder || find_side_file(side_files, kPoolingFile) != nullptr) read_pooling(file, side_files, &config);
  return config;
}

Pooling read_gguf_pooling(const ConfigKeys& keys) {
  switch (keys.count("pooling_type")) {
    case 0:  // none is said
    case 1:
      return Pooling::kMean;
    case 2:
      return Pooling::kFirst;
    case 3:
      return Pooling::kLast;
    default:
      keys.fail("pooling_type", "1 (mean), 2 (first token) or 3 (last token)");
  }
}

ModelConfig read_gguf(const TensorFile& file, const GgufMetadata& metadata) {
  const std::string where = file.path() + ": GGUF metadata";
  const std::string* name = metadata.string("general.architecture");
  if (name == nullptr) fail_unsupported(where, "none");
  const Architecture* known = find_gguf_architecture(*name);
  if (known == nullptr) fail_unsupported(where, *name);
  const ConfigKeys keys = gguf_config_keys(metadata, where, *name + ".");
  ModelConfig config;
  config.architecture = known->name;
  config.gguf_names = true;
  read_gguf_sizes(keys, config);
  const size_t embedding = file.find(known->gguf_names.token_embedding + ".weight");
  if (embedding == file.tensors().size() || file.tensors()[embedding].shape.size() != 2) {
    throw_input("{}: tensor '{}.weight': expected a matrix, found {}", file.path(), known->gguf_names.token_embedding,
                embedding == file.tensors().size() ? "nothing" : "another shape");
  }
  config.vocab_size = file.tensors()[embedding].shape[0];
  if (config.vocab_size == 0 || config.vocab_size > ConfigKeys::kMaxSize) {
    throw_input("{}: tensor '{}.weight': expected 1 to {} rows, found {}", file.path(),
                known->gguf_names.token_embedding, ConfigKeys::kMaxSize, config.vocab_size);
  }
  known->read_gguf(keys, config);
  if (!config.encoder) config.pooling = Pooling::kLast;
  config.says_pooling = keys.has("pooling_type");
  if (config.says_pooling) config.pooling = read_gguf_pooling(keys);
  if (config.position == Position::kRotary) read_rope_gguf(keys, config);
  config.max_text = config.max_context;
  config.tied_embeddings = !config.encoder && file.find(known->gguf_names.head + ".weight") == file.tensors().size();
  return config;
}

}  // namespace

ModelConfig read_config(const TensorFile& file) {
  if (const auto* gguf = dynamic_cast<const GgufFile*>(&file)) return read_gguf(file, gguf->metadata());
  const std::vector<SideFile> side_files = file.side_files();
  // A folder made from a GGUF keeps its names and metadata; a config.json may have been put beside them.
  const SideFile* hf = find_side_file(side_files, kHfSideFile);
  const SideFile* gguf = find_side_file(side_files, kGgufSideFile);
  const bool gguf_names = file.find("token_embd.weight") != file.tensors().size();
  if (gguf != nullptr && (gguf_names || hf == nullptr)) {
    return read_gguf(file, parse_gguf_metadata_json(text_of(*gguf), file.path() + ": " + kGgufSideFile));
  }
  if (hf == nullptr) {
    throw_input("{}: expected a model with {} or GGUF metadata, found neither", file.path(), kHfSideFile);
  }
  return read_hf(file, hf->bytes, side_files);
}

}  // namespace occ
