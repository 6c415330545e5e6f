// Reads a .occ archive. The archive is a TensorFile whose coded tensors are decoded when they are read; the stored
// records and blobs can be read as well. A coded tensor is stored as a blob (container/blob.h); a kept tensor is stored
// unchanged.
//
// All bytes are checked before they are used: a blob is compared with its checksum when it is loaded, a kept tensor
// before its first values are read (once while the file is open), and side files when they are read. The values of a
// coded tensor are compared with the hash that the encoder stored, as soon as all of them have been decoded, also if
// they were decoded by several calls.
#pragma once

#include <deque>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "container/index.h"
#include "container/values_hash.h"
#include "io/safetensors.h"
#include "recipe/bound.h"
#include "tensor/tensor_file.h"

namespace occ {

class ArchiveFile final : public TensorFile {
 public:
  // Input error unless the index matches its checksum and agrees with the tensors of the file.
  explicit ArchiveFile(const std::filesystem::path& path);

  std::string path() const override { return file_.path(); }
  std::string format() const override { return "occ"; }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override;
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override;
  size_t read_granularity(size_t i) const override;
  std::vector<SideFile> side_files() const override;
  uint64_t file_bytes() const override { return file_.file_bytes(); }

  // A coded tensor that is ready to be decoded: the recipe and the bytes that it decodes, which must outlive the
  // recipe.
  struct Coded {
    std::shared_ptr<const Bytes> blob;
    std::unique_ptr<BoundRecipe> recipe;
  };
  // Loads coded tensor i and compares it with its checksum. The caller owns the result. Thread-safe.
  Coded open_coded(size_t i) const;
  // A caller that decodes a recipe of open_coded(i) passes the decoded rows, from `row` on, to this function. When all
  // rows have come, it throws an input error if their hash is not the one that the encoder stored. Thread-safe.
  void check_decoded(size_t i, size_t row, MatrixView<const float> values) const;
  // Runs body. An error in it is taken as damage of tensor i and becomes an input error that names the tensor; errors
  // of kind kFailed are passed on unchanged.
  void as_fault_of(size_t i, const std::function<void()>& body) const;

  const ArchiveIndex& index() const { return index_; }
  const TensorRecord& record(size_t i) const { return index_.tensors[i]; }
  uint64_t side_file_bytes() const;  // the compressed size of all side files
  uint64_t stored_bytes(size_t i) const { return stored(i).stored_bytes; }
  Bytes read_stored(size_t i) const;
  // The names of the stored planes of coded tensor i and their sizes in bytes.
  std::vector<std::pair<std::string, uint64_t>> planes(size_t i) const;
  // Compares all tensors and side files with their checksums, decodes all coded tensors and compares the values with
  // the hashes of the encoder. Throws an input error at the first difference. `progress` is called, also from several
  // threads at once, with the size in bytes of the values that were checked, counted as f32.
  void verify(const std::function<void(uint64_t)>& progress = {}) const;
  void verify_tensor(size_t i, const std::function<void(uint64_t)>& progress = {}) const;

 private:
  // Which checks of a tensor have been made since the file was opened.
  struct Checks {
    Checks(Shape shape, size_t most_parts) : decoded(shape, most_parts) {}
    std::once_flag kept;
    ValuesHash decoded;
  };
  // A decoded tile.
  struct Tile {
    std::once_flag once;
    Matrix<float> rows;
  };
  // A coded tensor that read_f32 and read_raw have loaded.
  struct Loaded {
    size_t tensor = 0;
    Coded coded;
    // The tiles of a tensor of moderate size of which only some rows were read. They are kept, because such readers ask
    // for one row after the other. Empty for larger tensors.
    std::deque<Tile> tiles;
    // All values of the tensor; used only for recipes that can decode a tensor only as a whole.
    std::once_flag decoded_once;
    Matrix<float> decoded;
  };

  const TensorInfo& stored(size_t i) const { return file_.tensors()[stored_index_[i]]; }
  std::string where(size_t i) const { return path() + ": tensor '" + record(i).name + "'"; }
  std::shared_ptr<Loaded> load(size_t i) const;
  Bytes checked_blob(size_t i) const;
  void check_kept(size_t i) const;
  void check_hash(size_t i, uint64_t decoded_hash) const;
  void read_rows(Loaded& loaded, size_t row, MatrixView<float> out) const;
  static void decode_rows(Loaded& loaded, size_t row, MatrixView<float> out);

  SafetensorsFile file_;
  ArchiveIndex index_;
  std::vector<TensorInfo> infos_;
  std::vector<size_t> stored_index_;  // for tensor i: its index in file_
  mutable std::deque<Checks> checks_;
  mutable std::mutex mutex_;
  mutable std::list<std::shared_ptr<Loaded>> recent_;  // the most recently used first
};

// Opens any input: an archive, or one of the formats of io/open.h.
std::unique_ptr<TensorFile> open_any(const std::filesystem::path& path);

}  // namespace occ
