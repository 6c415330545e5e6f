// The index of an archive (docs/reference/format.md). It tells for each tensor its name, shape and type, how it is
// coded, and the checksums of its stored bytes and decoded values. In files of version 1 it is the U8 tensor
// kIndexTensor: a compressed JSON text without the figures, which follow as they are, so that its size does not depend
// on them. In files of version 0 it is the JSON text under the metadata key "occ".
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "container/merges.h"
#include "tensor/dtype.h"

namespace occ {

inline constexpr int kFormatVersion = 1;  // version that is written; files of version 0 can be read as well
inline constexpr const char* kIndexKey = "occ";
inline constexpr const char* kCheckKey = "occ_check";
inline constexpr const char* kSideFilePrefix = "occ/";
// Cannot be the name of a side file, because these have no '/'.
inline constexpr const char* kIndexTensor = "occ//index";

struct TensorRecord {
  std::string name;
  std::vector<uint64_t> shape;  // the shape in the source
  DType dtype = DType::kF32;    // the element type in the source
  std::string recipe;           // the canonical text of the recipe; empty if the tensor is stored unchanged
  uint64_t checksum = 0;        // tensor_checksum()
  uint64_t decoded_hash = 0;    // hash_of_chunks() of the decoded f32 values; only for coded tensors
  double nmse = 0;              // normalized mean squared error, measured by the encoder; only for coded tensors
  // These three are set only if second moments H of the inputs were used. G is the diagonal matrix of the row weights,
  // or the identity if there were none. weighted_error is tr(G E H E^T) / (tr(G W W^T) tr(H) / cols), where E is the
  // error of W. eigenvalues is the profile of the eigenvalues of H. row_energies is the profile of the diagonal of
  // G W W^T and is set only if there were row weights. Profiles are defined in metrics/limits.h.
  std::optional<double> weighted_error = std::nullopt;
  std::vector<uint8_t> eigenvalues = {};
  std::vector<uint8_t> row_energies = {};
  // The element type in the archive, of a kept tensor whose values a smaller float type holds exactly.
  std::optional<DType> stored = std::nullopt;

  bool coded() const { return !recipe.empty(); }
  bool operator==(const TensorRecord&) const = default;
};

// A file that belongs to the model, stored as a zstd-compressed U8 tensor "occ/<name>".
struct FileRecord {
  std::string name;
  uint64_t bytes = 0;                               // the size before compression
  uint64_t checksum = 0;                            // xxh64 of the compressed bytes
  std::optional<MergesText> merges = std::nullopt;  // what was left out before compression
  bool operator==(const FileRecord&) const = default;
};

struct ArchiveIndex {
  int version = kFormatVersion;
  std::string tool;  // "occ 0.2.0"
  uint64_t seed = 0;
  std::string source_format;  // TensorFile::format() of the input
  uint64_t source_hash = 0;   // xxh64 of the hashes of all source tensors, in order
  std::vector<TensorRecord> tensors;
  std::vector<FileRecord> files;
  bool operator==(const ArchiveIndex&) const = default;
};

// Rounds to six digits, which are enough for a report and keep the index small.
double six_digits(double v);

// Convert the index to the JSON text of version 0 and back. Input errors name the file, `what`.
std::string print_index(const ArchiveIndex& index);
ArchiveIndex parse_index(const std::string& json, const std::string& what);
// Convert the index to the bytes of kIndexTensor and back. nmse and weighted errors keep six digits.
Bytes pack_index(const ArchiveIndex& index);
ArchiveIndex unpack_index(ByteSpan bytes, const std::string& what);
// Returns the metadata of a file of version 1 with these bytes in kIndexTensor.
std::map<std::string, std::string> index_metadata(ByteSpan packed);
// Returns the hash of these bytes, which is in the metadata value kIndexKey; nothing if the value is that of version 0.
// Input error for an unknown version.
std::optional<uint64_t> packed_index_hash(const std::string& value, const std::string& what);
// Do the same for a single record, as it is stored in the part files of an unfinished archive.
std::string print_record(const TensorRecord& record);
TensorRecord parse_record(const std::string& json, const std::string& what);

// The xxh64 of a text that holds the name, dtype, shape, recipe and decoded hash of the record and the xxh64 of the
// stored bytes. The first form takes the stored bytes, the second form their xxh64.
uint64_t tensor_checksum(const TensorRecord& record, ByteSpan stored);
uint64_t tensor_checksum(const TensorRecord& record, uint64_t stored_hash);

// The hash of a matrix. The f32 values are hashed in chunks of chunk_rows(cols) rows, so that threads can share the
// work. The hash of the matrix is the xxh64 of the array of the xxh64 values of its chunks.
uint64_t hash_of_chunks(const std::vector<uint64_t>& chunk_hashes);

}  // namespace occ
