// Writer of Hugging Face model folders (make_hf_sink in hf.h).
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/check.h"
#include "base/file.h"
#include "base/temporary.h"
#include "io/elements.h"
#include "io/hf.h"
#include "io/json.h"

namespace occ {
namespace {

namespace fs = std::filesystem;

// The Python package transformers refuses safetensors files without this key.
const std::map<std::string, std::string> kMetadata = {{"format", "pt"}};

// Whether this is the name of a file of weights that this writer writes: model.safetensors, its index, or a shard such
// as model-00001-of-00002.safetensors.
bool is_weights_name(const std::string& name) {
  const size_t slash = name.find('/');  // of a module: 2_Dense/model.safetensors
  if (slash != std::string::npos) return name.substr(slash) == "/model.safetensors";
  if (name == "model.safetensors" || name == "model.safetensors.index.json") return true;
  return name.size() == 32 && name.starts_with("model-") && name.substr(11, 4) == "-of-" &&
         name.ends_with(".safetensors");
}

class HfSink final : public TensorSink {
 public:
  HfSink(const fs::path& folder, SinkOptions options) : folder_(folder), options_(std::move(options)) {
    if (!folder_.has_filename()) folder_ = folder_.parent_path();  // "out/"
    for (const SideFile& side : options_.side_files) {
      check_side_file_name(side.name, folder_.string() + ", model file");
      if (is_weights_name(side.name)) {
        throw_input("{}: '{}' is a file of weights, not one beside them", folder_.string(), side.name);
      }
    }
    check_replaceable();
    out_.emplace(folder_, options_.sync);
  }

  void begin(std::vector<OutTensor> tensors) override {
    uint64_t filled = 0;
    for (OutTensor& t : tensors) {
      const std::optional<uint64_t> bytes = tensor_bytes(t.shape, t.dtype);
      if (!bytes) {
        throw_usage("{}, tensor '{}': too large, shape {}", folder_.string(), printable(t.name), shape_text(t.shape));
      }
      if (!names_.insert(t.name).second) {
        throw_usage("{}, tensor '{}': name used twice", folder_.string(), printable(t.name));
      }
      const size_t slash = t.name.find('/');
      const std::string module = slash == std::string::npos ? "" : t.name.substr(0, slash);
      const bool full = !shards_.empty() && module.empty() &&
                        (filled >= options_.shard_bytes || *bytes > options_.shard_bytes - filled);
      if (shards_.empty() || shards_.back().module != module || (full && filled != 0)) {
        if (!module.empty() && !modules_.insert(module).second) {
          throw_usage("{}, tensor '{}': expected the tensors of a module together", folder_.string(),
                      printable(t.name));
        }
        shards_.emplace_back();
        shards_.back().module = module;
        filled = 0;
      }
      if (!module.empty()) t.name.erase(0, slash + 1);
      shards_.back().bytes += *bytes;
      shards_.back().tensors.push_back(std::move(t));
      filled += *bytes;
      if (module.empty()) total_ += *bytes;
    }
    name_shards();
    open_shard(0);
  }

  void write(const void* data, size_t bytes) override {
    const auto* p = static_cast<const uint8_t*>(data);
    while (bytes > 0) {
      while (written_ == shards_[current_].bytes) {
        OCC_CHECK(current_ + 1 < shards_.size());  // more data than the tensors hold
        open_shard(current_ + 1);
      }
      const uint64_t n = std::min<uint64_t>(bytes, shards_[current_].bytes - written_);
      writer_->write(p, n);
      p += n;
      bytes -= n;
      written_ += n;
    }
  }

  void commit() override {
    while (current_ + 1 < shards_.size()) {
      OCC_CHECK(written_ == shards_[current_].bytes);
      open_shard(current_ + 1);
    }
    writer_->commit();
    writer_.reset();
    if (count_ > 1) put_file("model.safetensors.index.json", index());
    for (const SideFile& side : options_.side_files) put_file(side.name, side.bytes);
    check_replaceable();
    out_->commit();
  }

 private:
  struct Shard {
    std::string name, module;  // of a module of sentence-transformers, or empty
    uint64_t bytes = 0;
    std::vector<OutTensor> tensors;
  };

  void name_shards() {
    const auto plain = [](const Shard& s) { return s.module.empty(); };
    count_ = static_cast<size_t>(std::count_if(shards_.begin(), shards_.end(), plain));
    if (count_ == 0) shards_.emplace_back(), count_ = 1;
    size_t number = 0;
    for (Shard& s : shards_) {
      if (!s.module.empty()) {
        s.name = s.module + "/model.safetensors";
        check_side_file_name(s.name, folder_.string() + ", module");
      } else {
        s.name = count_ == 1 ? "model.safetensors" : fmt::format("model-{:05}-of-{:05}.safetensors", ++number, count_);
      }
    }
  }

  void open_shard(size_t i) {
    if (writer_) writer_->commit();
    std::filesystem::create_directories((out_->temporary_path() / shards_[i].name).parent_path());
    writer_ = std::make_unique<SafetensorsWriter>(out_->temporary_path() / shards_[i].name, shards_[i].tensors,
                                                  kMetadata, options_.sync);
    current_ = i;
    written_ = 0;
  }

  Bytes index() const {
    nlohmann::json weight_map = nlohmann::json::object();
    for (const Shard& shard : shards_) {
      if (!shard.module.empty()) continue;
      for (const OutTensor& t : shard.tensors) weight_map[t.name] = shard.name;
    }
    const nlohmann::json root = {{"metadata", {{"total_size", total_}}}, {"weight_map", std::move(weight_map)}};
    const std::string text = root.dump(2) + '\n';
    return {text.begin(), text.end()};
  }

  void put_file(const std::string& name, const Bytes& bytes) const {
    const fs::path path = out_->temporary_path() / name;
    fs::create_directories(path.parent_path());
    OutputFile file(path, options_.sync);
    file.write(bytes);
    file.commit();
  }

  // Throws a failure if the folder holds a file that this writer would not write, because such a folder must not be
  // deleted.
  void check_replaceable() const {
    std::error_code ec;
    const fs::file_status status = fs::symlink_status(folder_, ec);
    if (!fs::exists(status)) return;
    if (!fs::is_directory(status)) throw_failed("{}: expected a folder or nothing, found a file", folder_.string());
    for (const auto& entry : fs::recursive_directory_iterator(folder_, ec)) {
      if (entry.is_directory()) continue;
      const std::string name = fs::relative(entry.path(), folder_).string();
      const auto known = side_file_names();
      const auto given = std::find_if(options_.side_files.begin(), options_.side_files.end(),
                                      [&](const SideFile& side) { return side.name == name; });
      const bool ours = is_weights_name(name) || given != options_.side_files.end() ||
                        std::find(known.begin(), known.end(), name) != known.end();
      if (!ours) {
        throw_failed("{}: not replaced because it holds '{}', which is no part of a model written here",
                     folder_.string(), printable(name));
      }
    }
    if (ec) throw_failed("{}: cannot be listed: {}", folder_.string(), ec.message());
  }

  fs::path folder_;
  SinkOptions options_;
  std::set<std::string> names_, modules_;
  size_t count_ = 0;  // shards that belong to no module
  std::vector<Shard> shards_;
  std::optional<OutputFolder> out_;
  std::unique_ptr<SafetensorsWriter> writer_;  // of a file in it
  size_t current_ = 0;                         // shard being written
  uint64_t written_ = 0;                       // bytes of it
  uint64_t total_ = 0;
};

}  // namespace

std::unique_ptr<TensorSink> make_hf_sink(const std::filesystem::path& folder, SinkOptions options) {
  return std::make_unique<HfSink>(folder, std::move(options));
}

}  // namespace occ
