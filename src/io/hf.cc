#include "io/hf.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "io/json.h"

namespace occ {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndex = "model.safetensors.index.json";
constexpr const char* kSingle = "model.safetensors";

constexpr std::array<std::string_view, 17> kSideFiles = {
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "chat_template.jinja",
    "preprocessor_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
    "config_sentence_transformers.json",
    "gguf.json",
};

}  // namespace

std::span<const std::string_view> side_file_names() { return kSideFiles; }

void check_plain_name(const std::string& name, const std::string& what) {
  const bool plain = !name.empty() && name[0] != '.' && name.size() <= 255 &&
                     name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
  if (!plain) throw_input("{}: expected a plain file name, found '{}'", what, printable(name));
}

void check_side_file_name(const std::string& name, const std::string& what) {
  const size_t slash = name.find('/');
  check_plain_name(name.substr(0, slash), what);
  if (slash != std::string::npos) check_plain_name(name.substr(slash + 1), what);
}

HfFolder::HfFolder(const fs::path& folder) : folder_(folder) {
  std::error_code ec;
  if (fs::exists(folder / kIndex, ec)) {
    open_indexed(folder / kIndex);
  } else if (fs::exists(folder / kSingle, ec)) {
    add_shard(kSingle);
  } else {
    std::set<std::string> found;
    bool pickle = false;
    for (const auto& entry : fs::directory_iterator(folder, ec)) {
      const std::string extension = entry.path().extension().string();
      if (extension == ".safetensors") found.insert(entry.path().filename().string());
      pickle |= extension == ".bin" || extension == ".pt" || extension == ".pth" || extension == ".ckpt";
    }
    if (ec) throw_input("{}: cannot be listed: {}", path(), ec.message());
    if (found.empty() && pickle) {
      throw_input(
          "{}: holds only pickled weights, which can run code and are refused; convert with transformers: "
          "AutoModel.from_pretrained(folder).save_pretrained(folder, safe_serialization=True)",
          path());
    }
    if (found.size() != 1) {
      throw_input("{}: expected {}, {} or one *.safetensors, found {} of these", path(), kSingle, kIndex, found.size());
    }
    add_shard(*found.begin());
  }
}

void HfFolder::add_shard(const std::string& name) {
  shards_.push_back(std::make_unique<SafetensorsFile>(folder_ / name));
  const SafetensorsFile& shard = *shards_.back();
  for (size_t i = 0; i < shard.tensors().size(); ++i) {
    tensors_.push_back(shard.tensors()[i]);
    places_.emplace_back(shards_.size() - 1, i);
  }
}

void HfFolder::open_indexed(const fs::path& index) {
  const std::string what = index.string();
  const nlohmann::json root = parse_json_file(index);
  const auto map = root.is_object() ? root.find("weight_map") : root.end();
  if (map == root.end() || !map->is_object()) throw_input("{}: expected an object 'weight_map'", what);
  std::map<std::string, std::set<std::string>> shards;  // file name -> tensors
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string()) {
      throw_input("{}, tensor '{}': expected a file name, found {}", what, printable(tensor), file.type_name());
    }
    const auto& name = file.get_ref<const std::string&>();
    if (!shards.count(name)) {
      check_plain_name(name, fmt::format("{}, tensor '{}'", what, printable(tensor)));
      std::error_code ec;
      if (!fs::exists(folder_ / name, ec)) {
        throw_input("{}, tensor '{}': expected the file '{}', found none", what, printable(tensor), printable(name));
      }
    }
    shards[name].insert(tensor);
  }
  for (auto& [name, wanted] : shards) {
    add_shard(name);
    for (const TensorInfo& t : shards_.back()->tensors()) {
      if (wanted.erase(t.name) == 0) {
        throw_input("{}, tensor '{}': it is in '{}', but weight_map does not say so", what, printable(t.name), name);
      }
    }
    if (!wanted.empty()) {
      throw_input("{}, tensor '{}': expected in '{}', found no such tensor", what, printable(*wanted.begin()), name);
    }
  }
}

void HfFolder::read_f32(size_t i, uint64_t first, uint64_t count, float* out) const {
  shards_[places_[i].first]->read_f32(places_[i].second, first, count, out);
}

void HfFolder::read_raw(size_t i, uint64_t first, uint64_t count, void* out) const {
  shards_[places_[i].first]->read_raw(places_[i].second, first, count, out);
}

std::vector<SideFile> HfFolder::side_files() const {
  std::vector<SideFile> out;
  for (const std::string_view name : kSideFiles) {
    std::error_code ec;
    if (fs::is_regular_file(folder_ / name, ec)) out.push_back({std::string(name), read_file(folder_ / name)});
  }
  return out;
}

uint64_t HfFolder::file_bytes() const {
  uint64_t bytes = 0;
  for (const auto& shard : shards_) bytes += shard->file_bytes();
  return bytes;
}

}  // namespace occ
