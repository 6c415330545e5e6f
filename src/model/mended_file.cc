#include "model/mended_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "container/archive_file.h"
#include "io/json.h"
#include "io/side_json.h"
#include "model/weights.h"
#include "tensor/side_files.h"

namespace occ {
namespace {

constexpr const char* kConfig = "config.json";

constexpr const char* kTies = "tie_word_embeddings";

// Where config.json says whether embeddings are tied. Models of images and text may say it in the text tower's part alone.
template <typename Json>
Json& said_of_ties(Json& config) {
  const auto text = config.find("text_config");
  const bool in_text = text != config.end() && text->is_object() && text->contains(kTies);
  return in_text && !config.contains(kTies) ? *text : config;
}

// Some tensors of another file, one of them perhaps with another name.
class MendedFile final : public TensorFile {
 public:
  explicit MendedFile(std::unique_ptr<TensorFile> base)
      : base_(std::move(base)), infos_(base_->tensors()), notes_(base_->notes()) {
    for (size_t i = 0; i < infos_.size(); ++i) places_.push_back(i);
  }

  void leave_out(size_t i, std::string note) {
    infos_.erase(infos_.begin() + static_cast<ptrdiff_t>(i));
    places_.erase(places_.begin() + static_cast<ptrdiff_t>(i));
    notes_.push_back(std::move(note));
  }
  void rename(size_t i, const std::string& name, std::string note) {
    infos_[i].name = name;
    notes_.push_back(std::move(note));
  }
  void keep(const std::vector<size_t>& tensors) {
    if (tensors.empty()) return;
    for (const size_t i : tensors) infos_[i].keep = "not used by the model";
    notes_.push_back(fmt::format("{} tensors are not used by the model and kept as they are: {}{}", tensors.size(),
                                 printable(infos_[tensors[0]].name), tensors.size() > 1 ? ", ..." : ""));
  }
  bool is_as_before() const { return notes_.size() == base_->notes().size(); }
  std::unique_ptr<TensorFile> take_base() { return std::move(base_); }
  // What reads the model later must know that the embeddings are tied, whatever its default is.
  void say_tied() { say_tied_ = true; }

  std::string path() const override { return base_->path(); }
  std::string format() const override { return base_->format(); }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override {
    base_->read_f32(places_[i], first, count, out);
  }
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override {
    base_->read_raw(places_[i], first, count, out);
  }
  size_t read_granularity(size_t i) const override { return base_->read_granularity(places_[i]); }
  std::vector<SideFile> side_files() const override {
    std::vector<SideFile> files = base_->side_files();
    if (!say_tied_) return files;
    change_side_json(&files, kConfig, path(), [](nlohmann::json& config) {
      nlohmann::json& said = said_of_ties(config);
      if (said.value(kTies, nlohmann::json()) == true) return false;
      said[kTies] = true;
      return true;
    });
    return files;
  }
  std::vector<std::string> notes() const override { return notes_; }
  uint64_t file_bytes() const override { return base_->file_bytes(); }

 private:
  std::unique_ptr<TensorFile> base_;
  std::vector<TensorInfo> infos_;
  std::vector<size_t> places_;  // for tensor i: its index in base_
  std::vector<std::string> notes_;
  bool say_tied_ = false;
};

bool have_equal_values(const TensorFile& file, size_t a, size_t b) {
  const TensorInfo &x = file.tensors()[a], &y = file.tensors()[b];
  if (x.shape != y.shape) return false;
  constexpr uint64_t kPanel = uint64_t{1} << 16;
  std::vector<float> p(kPanel), q(kPanel);
  for (uint64_t first = 0; first < x.elements(); first += kPanel) {
    const uint64_t count = std::min(kPanel, x.elements() - first);
    file.read_f32(a, first, count, p.data());
    file.read_f32(b, first, count, q.data());
    if (!std::equal(p.begin(), p.begin() + static_cast<ptrdiff_t>(count), q.begin())) return false;
  }
  return true;
}

// What config.json says of ties; nothing: nothing, and neither does GGUF.
std::optional<bool> said_ties(const TensorFile& file, const ModelConfig& config) {
  const std::vector<SideFile> files = file.side_files();
  const SideFile* side = config.gguf_names ? nullptr : find_side_file(files, kConfig);
  if (side == nullptr) return std::nullopt;
  const nlohmann::json values = parse_json(text_of(*side), file.path() + ": " + kConfig);
  const nlohmann::json said = said_of_ties(values).value(kTies, nlohmann::json());
  return said.is_boolean() ? std::optional(said.get<bool>()) : std::nullopt;
}

void mend_ties(const ModelConfig& config, MendedFile* file) {
  const Architecture& a = find_architecture(config.architecture);
  const TensorNames& names = config.gguf_names ? a.gguf_names : a.hf_names;
  if (config.encoder || names.head.empty()) return;
  const std::string prefix = config.gguf_names ? "" : hf_prefix(*file, a);
  const std::string embedding_name = prefix + names.token_embedding + ".weight";
  const std::string head_name = config.gguf_names ? names.head + ".weight" : hf_head_tensor(prefix, a);
  const size_t none = file->tensors().size(), embedding = file->find(embedding_name), head = file->find(head_name);
  const std::optional<bool> said = said_ties(*file, config);
  if (head == none || said == false) return;
  if (embedding == none) {
    file->rename(head, embedding_name,
                 fmt::format("'{}' is missing: '{}' is the embedding too", embedding_name, head_name));
  } else if (have_equal_values(*file, embedding, head)) {
    file->leave_out(head,
                    fmt::format("'{}' is left out: it equals '{}', which is tied to it", head_name, embedding_name));
  } else if (said == true) {
    throw_input("{}: tensor '{}': expected the values of '{}', because tie_word_embeddings is true, found others",
                file->path(), head_name, embedding_name);
  } else {
    return;
  }
  file->say_tied();
}

}  // namespace

std::unique_ptr<TensorFile> open_model_file(const std::filesystem::path& path) {
  std::unique_ptr<TensorFile> source = open_any(path);
  if (dynamic_cast<const ArchiveFile*>(source.get()) != nullptr) return source;  // was mended when it was made
  const bool model = source->format() == "hf" || source->format() == "gguf";
  if (model && source->tensors().empty()) throw_input("{}: expected tensors, found none", source->path());
  ModelConfig config;
  try {
    config = read_config(*source);
  } catch (const Error&) {
    return source;  // no model, or one that is coded but cannot be run
  }
  auto file = std::make_unique<MendedFile>(std::move(source));
  mend_ties(config, file.get());
  config = read_config(*file);
  const WeightLoader loader(*file, config, Arithmetic::kF32);
  if (!config.encoder) file->keep(loader.unused());
  if (file->is_as_before()) return file->take_base();
  return file;
}

}  // namespace occ
