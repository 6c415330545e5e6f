// The finished tensors of a run, in the folder OUT.occ.part/ until the archive is complete. Every part is a file that
// is written under another name and then renamed, so that a run that was killed at any moment can be resumed. The file
// consists of the size of its JSON (u64), the JSON (record, hash of the source, notes) and the blob.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "container/index.h"

namespace occ {

struct Part {
  TensorRecord record;
  uint64_t source_hash = 0;
  double sum_squares = 0;  // sum of the squared values of the source
  double sum_errors = 0;   // sum of the squared errors
  uint64_t blob_bytes = 0;
  std::vector<std::string> notes;
};
// By tensor index of the source; nothing if the tensor is not coded yet.
using Parts = std::vector<std::optional<Part>>;

// Fails, without changing anything, if there are parts of this output although neither `resume` nor `force` is set.
// Whether the parts belong to the same run is checked later.
void require_no_parts(const std::filesystem::path& output, bool resume, bool force);

class PartStore {
 public:
  // `job` describes the run completely. If a store of another job exists, or any store without `resume`, this fails;
  // with `force` it removes the store and starts again. It also fails if another run is writing the same output.
  PartStore(const std::filesystem::path& output, const std::string& job, bool resume, bool force);
  ~PartStore();
  PartStore(const PartStore&) = delete;
  PartStore& operator=(const PartStore&) = delete;

  void save(size_t index, const Part& part, ByteSpan blob) const;
  // Returns the finished part, or nothing if it is missing, incomplete or has a wrong checksum.
  std::optional<Part> find(size_t index) const;
  Bytes read_blob(size_t index) const;
  // Removes the folder when the archive is complete.
  void remove();

 private:
  std::filesystem::path part_path(size_t index) const;
  // Locks the folder for the lifetime of the store, so that two runs never write the same output.
  class FolderLock {
   public:
    explicit FolderLock(const std::filesystem::path& folder);
    ~FolderLock();
    FolderLock(const FolderLock&) = delete;
    FolderLock& operator=(const FolderLock&) = delete;

   private:
    int fd_;
  };

  std::filesystem::path folder_;
  std::optional<FolderLock> lock_;
};

}  // namespace occ
