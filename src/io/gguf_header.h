// Parses and checks the header of a GGUF file, which is everything before the tensor data.
//
// The layout has these parts in order: the bytes "GGUF", u32 version, u64 number of tensors, u64
// number of metadata keys; for each key its name (string), u32 type and value; for each tensor its name (string), u32
// number of dimensions, a u64 for each dimension (innermost first), u32 type, u64 offset; padding to a multiple of
// general.alignment; the tensor data. A string is a u64 length and its bytes; an array is a u32 item type, a u64 count
// and the items. Numbers are little-endian, or all of them, those of the data too, are big-endian, which shows in the
// version. In version 1 lengths, counts and dimensions are u32. Specification: docs/gguf.md in the ggml repository.
//
// The file may be made by an attacker. Memory is allocated only after a check that the file has the bytes to fill it.
// So the memory is at most a small multiple of the size of the header, which is at most kGgufMaxHeaderBytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"
#include "io/gguf_blocks.h"
#include "io/gguf_metadata.h"

namespace occ {

inline constexpr uint64_t kGgufMaxHeaderBytes = uint64_t{1} << 27;
inline constexpr uint64_t kGgufMaxKeys = uint64_t{1} << 16;
inline constexpr uint64_t kGgufMaxTensors = uint64_t{1} << 20;
inline constexpr uint64_t kGgufMaxNameBytes = 65535;
inline constexpr uint64_t kGgufMaxParts = 4096;
inline constexpr uint64_t kGgufMaxElements = uint64_t{1} << 48;

struct GgufTensor {
  std::string name;
  std::vector<uint64_t> shape;  // the outermost dimension first
  const GgufType* type = nullptr;
  uint64_t elements = 0;
  uint64_t bytes = 0;
  uint64_t offset = 0;  // first byte of the data, counted from the start of the file; 0 for a tensor without data
};

struct GgufHeader {
  uint32_t version = 0;
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;
  bool big_endian = false;
  uint64_t part = 0, parts = 1;  // number of this file among those of a split model, from 0 on
};

// Throws an input error that names the file and, where there is one, the key or the tensor.
GgufHeader read_gguf_header(const InputFile& file);

}  // namespace occ
