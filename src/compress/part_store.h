// The finished tensors of a run, in the folder OUT.occ.part/ until the archive is complete. Every part is a file that
// is written under another name and then renamed, so that a run which was killed at any moment can go on. The file has
// the size of its JSON (u64), the JSON (record, hash of the source, notes) and the blob.
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
using Parts = std::vector<std::optional<Part>>;  // by tensor of the source; none: not coded yet

class PartStore {
 public:
  // `job` describes the run completely. A store left by another job, or by any without `resume`, is a failure unless
  // `force`, which starts over. Two runs at a time on one output are refused.
  PartStore(const std::filesystem::path& output, const std::string& job, bool resume, bool force);
  ~PartStore();
  PartStore(const PartStore&) = delete;
  PartStore& operator=(const PartStore&) = delete;

  void save(size_t index, const Part& part, ByteSpan blob) const;
  // The finished part, whole and with a right checksum, or nothing.
  std::optional<Part> find(size_t index) const;
  Bytes read_blob(size_t index) const;
  // Removes the folder: the archive is complete.
  void remove();

 private:
  bool has_parts() const;
  std::filesystem::path part_path(size_t index) const;
  // Held while the store lives, so that two runs never write one output.
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
