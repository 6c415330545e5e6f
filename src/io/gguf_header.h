// Everything of a GGUF file before its tensor data, parsed and checked.
//
// Layout (little-endian): "GGUF", u32 version, u64 tensors, u64 keys; per key: string, u32 type, value; per tensor:
// string, u32 dimensions, u64 each (innermost first), u32 type, u64 offset; padding to general.alignment; data.
// A string is u64 length and bytes; an array u32 item type, u64 count and items. Specification: docs/gguf.md of ggml.
//
// The file may be hostile: nothing is allocated before the bytes that fill it are known to be there, so that memory is
// bounded by a small multiple of the header's size, and the header by kGgufMaxHeaderBytes.
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
inline constexpr uint64_t kGgufMaxElements = uint64_t{1} << 48;

struct GgufTensor {
  std::string name;
  std::vector<uint64_t> shape;  // outermost first
  const GgufType* type = nullptr;
  uint64_t elements = 0;
  uint64_t bytes = 0;
  uint64_t offset = 0;  // from the start of the file
};

struct GgufHeader {
  uint32_t version = 0;
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;
};

// Input errors name the file and the key or tensor.
GgufHeader read_gguf_header(const InputFile& file);

}  // namespace occ
