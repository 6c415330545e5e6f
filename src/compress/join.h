// The archive that the parts of a run make: its layout, which tells its size before it is written, writing it, and
// verifying what was written.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "compress/fit_contexts.h"
#include "compress/meter.h"
#include "compress/part_store.h"
#include "compress/plan.h"
#include "container/index.h"
#include "io/safetensors.h"
#include "occ/compress.h"
#include "tensor/tensor_file.h"

namespace occ {

// The program and its version, as archives name them.
std::string tool_name();

class Join {
 public:
  // Both must outlive this. The side files of the source are packed at once.
  Join(const TensorFile& source, const FitContexts& contexts, uint64_t seed);

  // Bytes of the archive if the blob of tensor k of the plan has blob_bytes[k] bytes. Exact if all parts are there,
  // otherwise as exact as blob_bytes: records of parts that are not there yet are about as long as what stands in.
  uint64_t file_bytes(const std::vector<PlannedTensor>& plan, const Parts& parts,
                      const std::vector<uint64_t>& blob_bytes) const;
  // Writes the archive, verifies it if options.verify, then gives it its name. `read(i)`: the bytes of tensor i of the
  // source as they go into the file; called by several threads. Returns the bytes of the file.
  uint64_t write(const std::filesystem::path& output, const std::vector<PlannedTensor>& plan, const Parts& parts,
                 const std::function<Bytes(size_t i)>& read, const CompressOptions& options, Meter* meter) const;

  const std::vector<FileRecord>& files() const { return files_; }

 private:
  std::pair<std::vector<OutTensor>, ArchiveIndex> layout(const std::vector<PlannedTensor>& plan, const Parts& parts,
                                                         const std::vector<uint64_t>& blob_bytes) const;

  TensorRecord expected_record(const PlannedTensor& t) const;

  const TensorFile& source_;
  const FitContexts& contexts_;
  const uint64_t seed_;
  std::vector<FileRecord> files_;
  std::vector<Bytes> file_bytes_;  // of the side files, zstd-compressed
};

}  // namespace occ
