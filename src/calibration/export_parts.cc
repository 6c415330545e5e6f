#include "calibration/export_parts.h"

#include <algorithm>

#include "io/copy_tensor.h"

namespace occ {
namespace {

// The text with `input` in place of all paths that lie in `scratch`.
std::string with_input(std::string text, const std::string& input, const std::string& scratch) {
  for (size_t at = 0; (at = text.find(scratch, at)) != std::string::npos; at += input.size()) {
    const size_t end = std::min(text.find_first_of(":;, ')", at + scratch.size()), text.size());
    text.replace(at, end - at, input);
  }
  return text;
}

}  // namespace

CompressReport naming_input(const std::filesystem::path& input, const std::filesystem::path& scratch,
                            const std::function<CompressReport()>& body) {
  try {
    CompressReport report = body();
    for (std::string& note : report.notes) note = with_input(std::move(note), input.string(), scratch.string());
    return report;
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::kFailed) throw;
    throw Error(e.kind(), with_input(e.what(), input.string(), scratch.string()));
  }
}

void write_model(const TensorFile& model, const std::filesystem::path& path) {
  SinkOptions options;
  options.side_files = model.side_files();
  options.sync = false;
  const std::unique_ptr<TensorSink> sink = make_tensor_sink(path, std::move(options));
  std::vector<OutTensor> tensors;
  for (const TensorInfo& t : model.tensors()) tensors.push_back({t.name, t.dtype, t.shape});
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
