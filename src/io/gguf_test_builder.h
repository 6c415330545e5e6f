// Builds GGUF files for tests. It writes exactly the values that it is given, so that a test can also make wrong files.
#pragma once

#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "tensor/tensor_file.h"
#include "test_data.h"

namespace occ {

inline void put_gguf_string(ByteWriter& out, std::string_view text) {
  out.put<uint64_t>(text.size());
  out.put_array(text.data(), text.size());
}

struct GgufBuilder {
  std::string magic = "GGUF";
  uint32_t version = 3;
  uint64_t claimed_tensors = ~uint64_t{0};  // the count in the header; all ones means the true count
  uint64_t claimed_keys = ~uint64_t{0};
  uint64_t alignment = 32;
  ByteWriter keys;
  uint64_t num_keys = 0;
  ByteWriter infos;
  uint64_t num_tensors = 0;
  Bytes data;

  // Adds a key whose value is given as bytes.
  GgufBuilder& key(std::string_view name, uint32_t type, ByteSpan value) {
    put_gguf_string(keys, name);
    keys.put(type);
    keys.put_bytes(value);
    ++num_keys;
    return *this;
  }
  template <typename T>
  GgufBuilder& key(std::string_view name, uint32_t type, T value) {
    ByteWriter w;
    w.put(value);
    return key(name, type, w.span());
  }
  GgufBuilder& key(std::string_view name, std::string_view text) {
    ByteWriter w;
    put_gguf_string(w, text);
    return key(name, 8, w.span());
  }
  // Adds the description of a tensor without data. The dimensions have the order of the file, innermost first.
  GgufBuilder& info(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset) {
    put_gguf_string(infos, name);
    infos.put(static_cast<uint32_t>(dims.size()));
    infos.put_array(dims.data(), dims.size());
    infos.put(type);
    infos.put(offset);
    ++num_tensors;
    return *this;
  }
  // Adds a tensor whose data follows the data of all tensors before it.
  GgufBuilder& tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type, ByteSpan bytes) {
    data.resize((data.size() + alignment - 1) / alignment * alignment);
    info(name, dims, type, data.size());
    data.insert(data.end(), bytes.begin(), bytes.end());
    return *this;
  }
  Bytes bytes() const {
    ByteWriter out;
    out.put_array(magic.data(), magic.size());
    out.put(version);
    out.put(claimed_tensors == ~uint64_t{0} ? num_tensors : claimed_tensors);
    out.put(claimed_keys == ~uint64_t{0} ? num_keys : claimed_keys);
    out.put_bytes(keys.span());
    out.put_bytes(infos.span());
    const Bytes padding((alignment - out.size() % alignment) % alignment);
    if (!data.empty()) out.put_bytes(padding);
    out.put_bytes(data);
    return out.take();
  }
};

inline std::filesystem::path write_test_file(const std::filesystem::path& path, ByteSpan bytes) {
  std::error_code ec;
  std::filesystem::remove(path, ec);  // ext4 flushes a file that is truncated and written again, which is slow
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  return path;
}

inline std::vector<float> read_all(const TensorFile& file, size_t i) {
  std::vector<float> out(file.tensors()[i].elements());
  file.read_f32(i, 0, out.size(), out.data());
  return out;
}

}  // namespace occ
