// Helper functions for the tests and the fuzz targets of this folder. They need no test framework.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/rng.h"
#include "io/sink.h"
#include "tensor/tensor_file.h"

namespace occ {

// Removes an old file first: ext4 flushes a file that is truncated and written again, which is slow.
inline void put_bytes_for_test(const std::filesystem::path& path, std::string_view bytes) {
  std::error_code ec;
  std::filesystem::remove(path, ec);
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline std::string get_bytes_for_test(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Reads every element with read_f32 and with read_raw. Returns the number of elements.
inline uint64_t read_all_for_test(const TensorFile& file) {
  uint64_t total = 0;
  for (size_t i = 0; i < file.tensors().size(); ++i) {
    const TensorInfo& t = file.tensors()[i];
    const uint64_t n = t.elements();
    std::vector<float> floats(n);
    file.read_f32(i, 0, n, floats.data());
    Bytes raw(n * dtype_size(t.dtype));
    file.read_raw(i, 0, n, raw.data());
    if (n > 2) file.read_f32(i, n / 2, n - n / 2, floats.data());
    total += n;
  }
  return total;
}

// The values that convert_to_f32 must give for all of `raw`, converted one element at a time.
inline std::vector<float> floats_for_test(DType dtype, const Bytes& raw) {
  const size_t size = dtype_size(dtype);
  std::vector<float> out(raw.size() / size);
  for (size_t i = 0; i < out.size(); ++i) convert_to_f32(dtype, raw.data() + i * size, &out[i], 1);
  return out;
}

// Random data of `count` elements. Floating-point elements are finite.
inline Bytes random_raw_for_test(DType dtype, uint64_t count, uint64_t seed) {
  Rng rng(seed);
  Bytes raw(count * dtype_size(dtype));
  if (is_float(dtype)) {
    std::vector<float> values(count);
    for (float& v : values) v = static_cast<float>(rng.normal());
    convert_from_f32(dtype, values.data(), raw.data(), count);
  } else {
    for (uint8_t& b : raw) b = static_cast<uint8_t>(rng.next() & (dtype == DType::kBool ? 1 : 255));
  }
  return raw;
}

inline const std::vector<DType>& all_dtypes_for_test() {
  static const std::vector<DType> all = {DType::kF64, DType::kF32, DType::kF16, DType::kBF16, DType::kI64,
                                         DType::kI32, DType::kI16, DType::kI8,  DType::kU64,  DType::kU32,
                                         DType::kU16, DType::kU8,  DType::kBool};
  return all;
}

}  // namespace occ
