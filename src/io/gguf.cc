#include "io/gguf.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/parallel.h"
#include "io/gguf_json.h"

namespace occ {

GgufFile::GgufFile(const std::filesystem::path& path) : file_(path), header_(read_gguf_header(file_)) {
  for (const GgufTensor& t : header_.tensors) {
    const std::string stored_type(t.type->quantized() ? t.type->name : "");
    infos_.push_back({t.name, t.shape, t.type->dtype, stored_type, t.bytes});
  }
}

const GgufTensor& GgufFile::checked(size_t i, uint64_t first, uint64_t count) const {
  OCC_CHECK(i < header_.tensors.size());
  const GgufTensor& t = header_.tensors[i];
  OCC_CHECK(first <= t.elements && count <= t.elements - first);
  return t;
}

void GgufFile::read_f32(size_t i, uint64_t first, uint64_t count, float* out) const {
  const GgufTensor& t = checked(i, first, count);
  if (count == 0) return;
  if (t.type->dtype == DType::kF32 && !t.type->quantized()) return read_raw(i, first, count, out);

  const uint64_t elements = t.type->block_elements;
  const uint64_t bytes = t.type->block_bytes;
  constexpr uint64_t kChunkBytes = uint64_t{1} << 18;
  const uint64_t end = first + count;
  const uint64_t end_block = ceil_div(end, elements);
  const uint64_t chunk_blocks = std::min(kChunkBytes / bytes, end_block - first / elements);
  const auto chunk = std::make_unique_for_overwrite<uint8_t[]>(chunk_blocks * bytes);
  for (uint64_t at = first; at < end;) {
    const uint64_t block = at / elements;
    const uint64_t blocks = std::min(chunk_blocks, end_block - block);
    file_.read(t.offset + block * bytes, chunk.get(), blocks * bytes);
    const uint64_t chunk_end = std::min(end, (block + blocks) * elements);
    while (at < chunk_end) {
      const uint8_t* in = chunk.get() + (at / elements - block) * bytes;
      const uint64_t skip = at % elements;
      const uint64_t whole = skip == 0 ? (chunk_end - at) / elements : 0;
      if (whole > 0) {
        t.type->dequantize(in, whole, out);
        at += whole * elements;
        out += whole * elements;
      } else {  // a part of one block
        std::array<float, kGgufMaxBlockElements> values;
        t.type->dequantize(in, 1, values.data());
        const uint64_t n = std::min(chunk_end - at, elements - skip);
        out = std::copy_n(values.data() + skip, n, out);
        at += n;
      }
    }
  }
}

void GgufFile::read_raw(size_t i, uint64_t first, uint64_t count, void* out) const {
  const GgufTensor& t = checked(i, first, count);
  if (count == 0) return;
  if (t.type->quantized()) return read_f32(i, first, count, static_cast<float*>(out));
  file_.read(t.offset + first * t.type->block_bytes, out, count * t.type->block_bytes);
}

std::vector<SideFile> GgufFile::side_files() const {
  const std::string json = gguf_metadata_json(metadata());
  return {{kGgufSideFile, Bytes(json.begin(), json.end())}};
}

std::unique_ptr<TensorFile> open_gguf(const std::filesystem::path& path) { return std::make_unique<GgufFile>(path); }

}  // namespace occ
