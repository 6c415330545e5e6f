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

constexpr std::array<std::string_view, 19> kSideFiles = {
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
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

// Whether these are NAME-00001-of-0000N.safetensors up to NAME-0000N-of-0000N.safetensors.
bool are_all_shards(const std::set<std::string>& files) {
  if (files.empty()) return false;
  const std::string& first = *files.begin();
  const std::string end = fmt::format("-of-{:05}.safetensors", files.size());
  if (first.size() < end.size() + 6 || !first.ends_with(end)) return false;
  const std::string start = first.substr(0, first.size() - end.size() - 5);
  for (size_t i = 1; i <= files.size(); ++i) {
    if (!files.contains(fmt::format("{}{:05}{}", start, i, end))) return false;
  }
  return true;
}

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
  if (fs::exists(folder / kSingle, ec)) {
    open_shard(kSingle);
    add_all(0);
    if (fs::exists(folder / kIndex, ec))
      notes_.push_back(fmt::format("{} is read, and not the shards of {}", kSingle, kIndex));
  } else if (fs::exists(folder / kIndex, ec)) {
    open_indexed(folder / kIndex);
  } else {
    open_unnamed();
  }
  open_modules();
  for (const auto& shard : shards_) {
    for (const std::string& note : shard->notes()) notes_.push_back(note);
  }
}

void HfFolder::open_modules() {
  std::error_code ec;
  const fs::path list = folder_ / "modules.json";
  if (!fs::is_regular_file(list, ec)) return;
  const nlohmann::json modules = parse_json_file(list);
  if (!modules.is_array()) throw_input("{}: expected an array of modules", list.string());
  for (const nlohmann::json& module : modules) {
    const auto text = [&](const char* key) {
      const auto at = module.is_object() ? module.find(key) : module.end();
      return at != module.end() && at->is_string() ? at->get<std::string>() : std::string();
    };
    const std::string path = text("path"), type = text("type");
    if (path.empty()) continue;
    check_plain_name(path, list.string());
    modules_.push_back(path);
    const std::string weights = path + "/" + kSingle;
    if (!fs::exists(folder_ / weights, ec)) {
      if (type.ends_with(".Dense"))
        throw_input("{}: expected the weights of a Dense module, found none", (folder_ / weights).string());
      continue;
    }
    open_shard(weights);
    for (size_t i = 0; i < shards_.back()->tensors().size(); ++i) {
      add_tensor(shards_.size() - 1, i);
      tensors_.back().name = path + "/" + tensors_.back().name;
      tensors_.back().keep = "module behind the pooling";
    }
  }
}

// The one file *.safetensors, or all shards of a model that has lost its index.
void HfFolder::open_unnamed() {
  std::set<std::string> found;
  bool pickle = false;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(folder_, ec)) {
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
  if (found.size() != 1 && !are_all_shards(found)) {
    throw_input("{}: expected {}, {} or one *.safetensors, found {} of these", path(), kSingle, kIndex, found.size());
  }
  if (found.size() != 1) notes_.push_back(fmt::format("{} is missing: all {} shards are read", kIndex, found.size()));
  std::map<std::string, std::string> seen;  // tensor -> its file
  for (const std::string& name : found) {
    open_shard(name);
    add_all(shards_.size() - 1);
    for (const TensorInfo& t : shards_.back()->tensors()) {
      const auto [at, is_new] = seen.emplace(t.name, name);
      if (!is_new) {
        throw_input("{}, tensor '{}': expected in one shard, found in '{}' and '{}'", path(), printable(t.name),
                    at->second, name);
      }
    }
  }
}

void HfFolder::open_shard(const std::string& name) {
  shards_.push_back(std::make_unique<SafetensorsFile>(folder_ / name));
}

void HfFolder::add_tensor(size_t shard, size_t i) {
  tensors_.push_back(shards_[shard]->tensors()[i]);
  places_.emplace_back(shard, i);
}

void HfFolder::add_all(size_t shard) {
  for (size_t i = 0; i < shards_[shard]->tensors().size(); ++i) add_tensor(shard, i);
}

void HfFolder::open_indexed(const fs::path& index) {
  const std::string what = index.string();
  std::vector<std::string> repeated;
  const nlohmann::json root = parse_json_file(index, uint64_t{256} << 20, &repeated);
  for (const std::string& key : repeated) {
    notes_.push_back(fmt::format("{}: '{}' stands twice, the last counts", kIndex, printable(key)));
  }
  const auto map = root.is_object() ? root.find("weight_map") : root.end();
  if (map == root.end() || !map->is_object()) throw_input("{}: expected an object 'weight_map'", what);
  std::map<std::string, std::string> wanted;  // tensor -> file
  std::set<std::string> names;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string()) {
      throw_input("{}, tensor '{}': expected a file name, found {}", what, printable(tensor), file.type_name());
    }
    const auto& name = file.get_ref<const std::string&>();
    if (names.insert(name).second) {
      check_plain_name(name, fmt::format("{}, tensor '{}'", what, printable(tensor)));
      std::error_code ec;
      if (!fs::exists(folder_ / name, ec)) {
        throw_input("{}, tensor '{}': expected the file '{}', found none", what, printable(tensor), printable(name));
      }
    }
    wanted.emplace(tensor, name);
  }
  const std::vector<std::string> files(names.begin(), names.end());
  for (const std::string& name : files) open_shard(name);
  // Every tensor from the shard that the index says; only where it is not there, from another one.
  std::vector<std::string> unnamed, moved;
  for (const bool as_said : {true, false}) {
    for (size_t s = 0; s < files.size(); ++s) {
      for (size_t i = 0; i < shards_[s]->tensors().size(); ++i) {
        const std::string& tensor = shards_[s]->tensors()[i].name;
        const auto at = wanted.find(tensor);
        if (as_said && at != wanted.end() && at->second == files[s]) {
          add_tensor(s, i);
          wanted.erase(at);
        } else if (!as_said && at != wanted.end()) {
          add_tensor(s, i);
          moved.push_back(tensor);
          wanted.erase(at);
        } else if (!as_said && !map->contains(tensor)) {
          unnamed.push_back(tensor);
        }
      }
    }
  }
  if (!wanted.empty()) {
    throw_input("{}, tensor '{}': expected in '{}', found no such tensor", what, printable(wanted.begin()->first),
                wanted.begin()->second);
  }
  add_name_note("left out because weight_map does not name them", unnamed);
  add_name_note("in another shard than weight_map says", moved);
}

void HfFolder::add_name_note(std::string_view what, const std::vector<std::string>& names) {
  if (names.empty()) return;
  notes_.push_back(fmt::format("{}: {} tensors {}: {}{}", kIndex, names.size(), what, printable(names[0]),
                               names.size() > 1 ? ", ..." : ""));
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
  for (const std::string& module : modules_) {
    const std::string name = module + "/config.json";
    std::error_code ec;
    const bool listed = std::find(kSideFiles.begin(), kSideFiles.end(), name) != kSideFiles.end();
    if (!listed && fs::is_regular_file(folder_ / name, ec)) out.push_back({name, read_file(folder_ / name)});
  }
  return out;
}

uint64_t HfFolder::file_bytes() const {
  uint64_t bytes = 0;
  for (const auto& shard : shards_) bytes += shard->file_bytes();
  return bytes;
}

}  // namespace occ
