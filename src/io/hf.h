// Hugging Face model folders: model.safetensors, or shards named by model.safetensors.index.json, with config.json,
// tokenizer.json and the like beside them.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/safetensors.h"
#include "io/sink.h"
#include "tensor/tensor_file.h"

namespace occ {

// Names of the files that travel with a model.
std::span<const std::string_view> side_file_names();

// Input error unless `name` is a plain file name: no folder part, not hidden, nothing that could leave the folder.
void check_plain_name(const std::string& name, const std::string& what);

// The same for a file that travels with a model: it may lie one folder down ("1_Pooling/config.json").
void check_side_file_name(const std::string& name, const std::string& what);

// Takes, in this order: model.safetensors.index.json and its shards, model.safetensors, the only *.safetensors. Every
// tensor of a shard must be mapped to that shard and every mapped tensor must be there.
class HfFolder final : public TensorFile {
 public:
  explicit HfFolder(const std::filesystem::path& folder);

  std::string path() const override { return folder_.string(); }
  std::string format() const override { return "hf"; }
  // Shard by shard in the order of their names, within a shard in the order of their data.
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override;
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override;
  // Those of side_file_names() that are there.
  std::vector<SideFile> side_files() const override;
  uint64_t file_bytes() const override;

 private:
  void add_shard(const std::string& name);
  void open_indexed(const std::filesystem::path& index);

  std::filesystem::path folder_;
  std::vector<std::unique_ptr<SafetensorsFile>> shards_;
  std::vector<TensorInfo> tensors_;
  std::vector<std::pair<size_t, size_t>> places_;  // of tensor i: shard, number in it
};

// Writes model.safetensors, or model-00001-of-0000N.safetensors and the index if the tensors hold more than
// options.shard_bytes; and the side files. All of it goes to a folder beside that is renamed by commit().
std::unique_ptr<TensorSink> make_hf_sink(const std::filesystem::path& folder, SinkOptions options);

}  // namespace occ
