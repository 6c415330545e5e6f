#include "calibration/export_parts.h"

#include "io/copy_tensor.h"

namespace occ {
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
  for (size_t i = 0; i < tensors.size(); ++i) copy_tensor(model, i, tensors[i].dtype, *sink);
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
