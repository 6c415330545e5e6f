// Joins the parts of a run into the archive: computes the layout, from which the size is known before the archive is
// written, writes the archive and verifies it.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "compress/calibration_source.h"
#include "compress/fit_contexts.h"
#include "compress/meter.h"
#include "compress/part_store.h"
#include "compress/plan.h"
#include "container/index.h"
#include "io/safetensors.h"
#include "occ/compress.h"
#include "tensor/tensor_file.h"

namespace occ {

// Returns the name and the version of the program, as archives store them.
std::string tool_name();

class Join {
 public:
  // `source` and `contexts` must outlive this object. The constructor compresses the side files of the source.
  Join(const TensorFile& source, const FitContexts& contexts, uint64_t seed);

  // Returns the bytes of the archive if the blob of tensor k of the plan has blob_bytes[k] bytes. The result is exact
  // if all parts exist. Otherwise it is about as exact as blob_bytes, because the records of missing parts are replaced
  // by records of about the same length.
  uint64_t file_bytes(const std::vector<PlannedTensor>& plan, const Parts& parts,
                      const std::vector<uint64_t>& blob_bytes) const;
  // Writes the archive, verifies it if options.verify is set, and then gives it its name, unless accept(its path now)
  // returns false. `read(i)` returns the bytes of tensor i of the source as they are written to the file; several
  // threads call it. Returns the bytes of the file.
  uint64_t write(const std::filesystem::path& output, const std::vector<PlannedTensor>& plan, const Parts& parts,
                 const std::function<Bytes(size_t i)>& read, const CompressOptions& options, Meter* meter,
                 const AcceptArchive& accept) const;

  const std::vector<FileRecord>& files() const { return files_; }
  // Returns the bytes of the side files as they are stored.
  uint64_t side_file_bytes() const;

 private:
  std::pair<std::vector<OutTensor>, ArchiveIndex> layout(const std::vector<PlannedTensor>& plan, const Parts& parts,
                                                         const std::vector<uint64_t>& blob_bytes) const;

  TensorRecord expected_record(const PlannedTensor& t) const;

  const TensorFile& source_;
  const FitContexts& contexts_;
  const uint64_t seed_;
  std::vector<FileRecord> files_;
  std::vector<Bytes> file_bytes_;  // the side files, zstd-compressed
};

}  // namespace occ
