// Reads a .occ archive: as a TensorFile (coded tensors are decoded on the fly) and as what it is (records, blobs).
//
// No byte is used unchecked: a blob is compared with its checksum when it is loaded, a kept tensor before the first of
// its values is given out (once while the file is open), side files when they are read. Decoded values are compared
// with the hash of those that the encoder saw as soon as all of them have been decoded, whoever asked for them.
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
  // Input error unless the index is whole and agrees with the tensors of the file.
  explicit ArchiveFile(const std::filesystem::path& path);

  std::string path() const override { return file_.path(); }
  std::string format() const override { return "occ"; }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override;
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override;
  size_t read_granularity(size_t i) const override;
  std::vector<SideFile> side_files() const override;
  uint64_t file_bytes() const override { return file_.file_bytes(); }

  // A coded tensor ready to decode: a recipe and the bytes that it decodes from, which must outlive it.
  struct Coded {
    std::shared_ptr<const Bytes> blob;
    std::unique_ptr<BoundRecipe> recipe;
  };
  // Checked against its checksum; owned by the caller. Thread-safe.
  Coded open_coded(size_t i) const;
  // To be told of rows that a recipe of open_coded(i) was decoded to. Input error once all rows are known and are not
  // what the encoder saw. Thread-safe.
  void check_decoded(size_t i, size_t row, MatrixView<const float> values) const;
  // Runs body; what goes wrong in it is tensor i's fault and becomes an input error that names it.
  void as_fault_of(size_t i, const std::function<void()>& body) const;

  const ArchiveIndex& index() const { return index_; }
  const TensorRecord& record(size_t i) const { return index_.tensors[i]; }
  uint64_t side_file_bytes() const;  // as stored
  uint64_t stored_bytes(size_t i) const { return stored(i).stored_bytes; }
  Bytes read_stored(size_t i) const;
  // Names and sizes of the stored planes of a coded tensor.
  std::vector<std::pair<std::string, uint64_t>> planes(size_t i) const;
  // Checksums of every tensor and file, and a full decode against the encoder's hashes. `progress` gets bytes of f32.
  void verify(const std::function<void(uint64_t)>& progress = {}) const;
  void verify_tensor(size_t i, const std::function<void(uint64_t)>& progress = {}) const;

 private:
  // What is known of a tensor since the file was opened.
  struct Checks {
    Checks(Shape shape, size_t most_parts) : decoded(shape, most_parts) {}
    std::once_flag kept;
    ValuesHash decoded;
  };
  // A coded tensor ready to decode.
  struct Loaded {
    size_t tensor = 0;
    Coded coded;
    std::once_flag decoded_once;  // for recipes that decode only as a whole:
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
  std::vector<size_t> stored_index_;  // of tensor i in file_
  mutable std::deque<Checks> checks_;
  mutable std::mutex mutex_;
  mutable std::list<std::shared_ptr<Loaded>> recent_;  // the most recently used first
};

// Any input: what io/open.h knows, and archives.
std::unique_ptr<TensorFile> open_any(const std::filesystem::path& path);

}  // namespace occ
