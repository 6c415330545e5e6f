#include "calibration/export_parts.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace occ {
namespace {

constexpr uint64_t kBytesAtOnce = uint64_t{1} << 24;
constexpr float kMostF16 = 65519.996f;  // the largest number that is rounded to a finite f16

void require_f16(const TensorFile& file, size_t i, const std::vector<float>& values) {
  for (const float v : values) {
    if (std::abs(v) <= kMostF16) continue;
    throw_input("{}: tensor '{}': expected values within the range of F16, found {}", file.path(),
                file.tensors()[i].name, v);
  }
}

}  // namespace

void write_floats(const TensorFile& file, size_t i, DType dtype, TensorSink& sink) {
  const TensorInfo& info = file.tensors()[i];
  const uint64_t at_once = kBytesAtOnce / dtype_size(dtype);
  for (uint64_t first = 0; first < info.elements(); first += at_once) {
    const uint64_t n = std::min(at_once, info.elements() - first);
    Bytes bytes(n * dtype_size(dtype));
    if (dtype == info.dtype) {
      file.read_raw(i, first, n, bytes.data());
    } else {
      std::vector<float> values(n);
      file.read_f32(i, first, n, values.data());
      if (dtype == DType::kF16) require_f16(file, i, values);
      convert_from_f32(dtype, values.data(), bytes.data(), n);
    }
    sink.write(bytes.data(), bytes.size());
  }
}

void write_model(const TensorFile& model, const std::filesystem::path& path, bool f32_vectors) {
  SinkOptions options;
  options.side_files = model.side_files();
  options.sync = false;
  const std::unique_ptr<TensorSink> sink = make_tensor_sink(path, std::move(options));
  std::vector<OutTensor> tensors;
  for (const TensorInfo& t : model.tensors()) {
    const bool vector = f32_vectors && t.shape.size() < 2 && is_float(t.dtype);
    tensors.push_back({t.name, vector ? DType::kF32 : t.dtype, t.shape});
  }
  sink->begin(tensors);
  for (size_t i = 0; i < tensors.size(); ++i) write_floats(model, i, tensors[i].dtype, *sink);
  sink->commit();
}

CompressOptions with_methods(const CompressOptions& options, const TensorFile& source,
                             const std::vector<std::string>& methods) {
  CompressOptions out = options;
  out.method = "ggml";
  out.recipe.clear();
  out.tensors.clear();
  out.keep.clear();
  out.bits.reset();
  out.ratio.reset();
  out.size.reset();
  out.nmse.reset();
  out.resume = false;
  out.sync = false;
  for (size_t i = 0; i < methods.size(); ++i) {
    out.tensors.emplace_back(source.tensors()[i].name, methods[i].empty() ? "keep" : methods[i]);
  }
  return out;
}

}  // namespace occ
