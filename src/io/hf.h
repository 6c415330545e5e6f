// Reader and writer of Hugging Face model folders. A folder holds model.safetensors, or several safetensors files
// (shards) that model.safetensors.index.json names, and side files such as config.json and tokenizer.json.
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

// The names of the side files that are read from a model folder and kept with the model.
std::span<const std::string_view> side_file_names();

// Throws an input error that names `what` unless `name` is a plain file name: 1 to 255 bytes, no slash, backslash or
// NUL, and no dot at the start. Such a name cannot lead out of the folder.
void check_plain_name(const std::string& name, const std::string& what);

// The same check for a side file, which may also lie in a folder one level below ("1_Pooling/config.json").
void check_side_file_name(const std::string& name, const std::string& what);

// Reads the first of these that the folder holds, as transformers does: model.safetensors; the shards of
// model.safetensors.index.json; the only file *.safetensors; all files NAME-0000I-of-0000N.safetensors without an index.
// Input error if there is none, or if a shard or a tensor that the index names is missing. What else may be odd is a
// note: an index beside model.safetensors, tensors that the index does not name (they are left out) or that are in
// another shard than it says, and a repeated name, which counts as it stands last.
//
// The tensors of modules that modules.json of sentence-transformers names ("2_Dense") are read too. Their names begin
// with the folder ("2_Dense/linear.weight"), and `compress` keeps them as they are.
class HfFolder final : public TensorFile {
 public:
  explicit HfFolder(const std::filesystem::path& folder);

  std::string path() const override { return folder_.string(); }
  std::string format() const override { return "hf"; }
  // The shards follow in the order of their names; the tensors of one shard have the order of their data.
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override;
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override;
  std::vector<std::string> notes() const override { return notes_; }
  // The bytes of tensor i as they are in the file.
  Bytes read_stored(size_t i) const { return shards_[places_[i].first]->read_stored(places_[i].second); }
  // The files of side_file_names() that the folder holds.
  std::vector<SideFile> side_files() const override;
  uint64_t file_bytes() const override;

 private:
  void open_shard(const std::string& name);
  void add_tensor(size_t shard, size_t i);
  void add_all(size_t shard);
  void open_indexed(const std::filesystem::path& index);
  void open_unnamed();
  void open_modules();
  void add_name_note(std::string_view what, const std::vector<std::string>& names);

  std::filesystem::path folder_;
  std::vector<std::unique_ptr<SafetensorsFile>> shards_;
  std::vector<TensorInfo> tensors_;
  std::vector<std::string> notes_;
  std::vector<std::string> modules_;               // folders of sentence-transformers' modules
  std::vector<std::pair<size_t, size_t>> places_;  // for tensor i: the number of its shard and its number in the shard
};

// Writes model.safetensors, or, if the tensors hold more than options.shard_bytes, the shards
// model-00001-of-0000N.safetensors and the index; tensors "FOLDER/NAME" in FOLDER/model.safetensors; the side files. All files are written to a temporary folder
// beside `folder`, which commit() renames.
std::unique_ptr<TensorSink> make_hf_sink(const std::filesystem::path& folder, SinkOptions options);

}  // namespace occ
