// The index of an archive: the JSON under the metadata key "occ" (docs/reference/format.md). What each tensor is, how
// it is coded and what its bytes must hash to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "tensor/dtype.h"

namespace occ {

inline constexpr int kFormatVersion = 0;
inline constexpr const char* kIndexKey = "occ";
inline constexpr const char* kCheckKey = "occ_check";
inline constexpr const char* kSideFilePrefix = "occ/";

struct TensorRecord {
  std::string name;
  std::vector<uint64_t> shape;  // of the source
  DType dtype = DType::kF32;    // of the source
  std::string recipe;           // canonical text; empty: kept as it is
  uint64_t checksum = 0;        // tensor_checksum()
  uint64_t decoded_hash = 0;    // hash_of_rows() over the decoded f32 values; coded tensors only
  double nmse = 0;              // measured by the encoder; coded tensors only
  // Only where second moments H of the inputs were used, G the diagonal matrix of the weights of the rows (the identity
  // where there were none): tr(G E H E^T) / (tr(G W W^T) tr(H) / cols) and the profiles of the eigenvalues of H and,
  // with weights, of the diagonal of G W W^T (metrics/limits.h).
  std::optional<double> weighted_error = std::nullopt;
  std::vector<uint8_t> eigenvalues = {};
  std::vector<uint8_t> row_energies = {};

  bool coded() const { return !recipe.empty(); }
  bool operator==(const TensorRecord&) const = default;
};

// A file that belongs to the model, stored as a zstd-compressed U8 tensor "occ/<name>".
struct FileRecord {
  std::string name;
  uint64_t bytes = 0;     // before compression
  uint64_t checksum = 0;  // xxh64 of the compressed bytes
  bool operator==(const FileRecord&) const = default;
};

struct ArchiveIndex {
  int version = kFormatVersion;
  std::string tool;  // "occ 0.2.0"
  uint64_t seed = 0;
  std::string source_format;  // TensorFile::format() of the input
  uint64_t source_hash = 0;   // xxh64 over the source hashes of all tensors in order
  std::vector<TensorRecord> tensors;
  std::vector<FileRecord> files;
  bool operator==(const ArchiveIndex&) const = default;
};

std::string print_index(const ArchiveIndex& index);
// `what`: the file, for errors.
ArchiveIndex parse_index(const std::string& json, const std::string& what);
// One record alone, as the part files of an unfinished archive keep it.
std::string print_record(const TensorRecord& record);
TensorRecord parse_record(const std::string& json, const std::string& what);

// xxh64 over the record (name, dtype, shape, recipe, decoded hash) and the stored bytes, or their xxh64.
uint64_t tensor_checksum(const TensorRecord& record, ByteSpan stored);
uint64_t tensor_checksum(const TensorRecord& record, uint64_t stored_hash);

// Values of a matrix are hashed in chunks of chunk_rows(cols) rows, so that threads can share the work: the hash of the
// matrix is the xxh64 of the array of its chunks' xxh64 values.
uint64_t hash_of_chunks(const std::vector<uint64_t>& chunk_hashes);

}  // namespace occ
