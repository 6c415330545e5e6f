#include "io/gguf.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/parallel.h"
#include "io/gguf_json.h"
#include "io/json.h"

namespace occ {

namespace fs = std::filesystem;

namespace {

// The name of part i (from 0 on) of `parts`, from that of part `own`; empty if that is not named as llama.cpp names it.
fs::path part_path(const fs::path& path, uint64_t own, uint64_t i, uint64_t parts) {
  const std::string name = path.filename().string(), end = fmt::format("-{:05}-of-{:05}.gguf", own + 1, parts);
  if (!name.ends_with(end)) return {};
  const std::string start = name.substr(0, name.size() - end.size());
  return path.parent_path() / fmt::format("{}-{:05}-of-{:05}.gguf", start, i + 1, parts);
}

void swap_bytes(const GgufType& type, uint64_t blocks, uint8_t* bytes) {
  if (!type.quantized()) {
    for (uint64_t i = 0; i < blocks; ++i)
      std::reverse(bytes + i * type.block_bytes, bytes + (i + 1) * type.block_bytes);
    return;
  }
  for (uint64_t i = 0; i < blocks; ++i) {
    for (const uint32_t at : *type.halves)
      std::swap(bytes[i * type.block_bytes + at], bytes[i * type.block_bytes + at + 1]);
  }
}

}  // namespace

GgufFile::GgufFile(const fs::path& path) : path_(path.string()) {
  files_.emplace_back(path);
  header_ = read_gguf_header(files_[0]);
  if (header_.parts > 1) {
    open_parts(path);
  } else {
    take_tensors(0, std::exchange(header_.tensors, {}));
  }
  for (const char* key : {"split.no", "split.count", "split.tensors.count"}) header_.metadata.erase(key);
}

void GgufFile::open_parts(const fs::path& path) {
  const uint64_t parts = header_.parts, own = header_.part;
  if (part_path(path, own, own, parts).empty()) {
    throw_input("{}: part {} of {} of a split model, expected the name NAME-{:05}-of-{:05}.gguf beside the others",
                path_, own + 1, parts, own + 1, parts);
  }
  files_.clear();
  std::optional<uint64_t> total;
  for (uint64_t i = 0; i < parts; ++i) {
    const fs::path name = part_path(path, own, i, parts);
    std::error_code ec;
    if (!fs::exists(name, ec)) {
      throw_input("{}: expected part {} of {} of the split model, found none", name.string(), i + 1, parts);
    }
    files_.emplace_back(name);
    GgufHeader header = read_gguf_header(files_.back());
    if (header.parts != parts || header.part != i || header.big_endian != header_.big_endian) {
      throw_input("{}: expected part {} of {}, found part {} of {} or another order of bytes", name.string(), i + 1,
                  parts, header.part + 1, header.parts);
    }
    std::vector<GgufTensor> tensors = std::exchange(header.tensors, {});
    if (i == 0) {
      total = header.metadata.uint("split.tensors.count");
      header_ = std::move(header);
    }
    take_tensors(i, std::move(tensors));
  }
  std::set<std::string_view> names;
  for (const TensorInfo& t : infos_) {
    if (!names.insert(t.name).second)
      throw_input("{}: tensor '{}': expected in one part, found in two", path_, printable(t.name));
  }
  if (total && *total != infos_.size()) {
    throw_input("{}: expected {} tensors in all parts (split.tensors.count), found {}", path_, *total, infos_.size());
  }
  notes_.push_back(fmt::format("all {} parts of the split model are read", parts));
}

void GgufFile::take_tensors(size_t part, std::vector<GgufTensor> tensors) {
  for (GgufTensor& t : tensors) {
    const std::string stored_type(t.type->quantized() ? t.type->name : "");
    infos_.push_back({t.name, t.shape, t.type->dtype, stored_type, t.bytes});
    part_of_.push_back(part);
    header_.tensors.push_back(std::move(t));
  }
}

uint64_t GgufFile::file_bytes() const {
  uint64_t bytes = 0;
  for (const InputFile& file : files_) bytes += file.size();
  return bytes;
}

void GgufFile::read_blocks(size_t i, uint64_t block, uint64_t blocks, uint8_t* out) const {
  const GgufTensor& t = header_.tensors[i];
  files_[part_of_[i]].read(t.offset + block * t.type->block_bytes, out, blocks * t.type->block_bytes);
  if (header_.big_endian) swap_bytes(*t.type, blocks, out);
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
    read_blocks(i, block, blocks, chunk.get());
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
  read_blocks(i, first, count, static_cast<uint8_t*>(out));
}

std::vector<SideFile> GgufFile::side_files() const {
  const std::string json = gguf_metadata_json(metadata());
  return {{kGgufSideFile, Bytes(json.begin(), json.end())}};
}

std::unique_ptr<TensorFile> open_gguf(const std::filesystem::path& path) { return std::make_unique<GgufFile>(path); }

}  // namespace occ
