#include "calibration/gguf_export.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "base/temporary.h"
#include "calibration/export_parts.h"
#include "calibration/gguf_types.h"
#include "container/archive_file.h"
#include "io/copy_tensor.h"
#include "io/gguf_blocks.h"
#include "io/sink.h"
#include "model/convert.h"
#include "model/mended_file.h"
#include "quantization/ggml.h"
#include "recipe/nodes.h"

namespace occ {
namespace {

// As llama-quantize has them: matrices that have no blocks as f16, vectors as f32.
DType float_type(const TensorInfo& t) {
  if (!is_float(t.dtype)) return t.dtype;
  return t.shape.size() < 2 || stays_f32(t.name) ? DType::kF32 : DType::kF16;
}

// The codes of tensor i of the archive as blocks.
void write_blocks(const ArchiveFile& archive, size_t i, const GgufType& type, TensorSink& sink) {
  const ArchiveFile::Coded coded = archive.open_coded(i);
  const auto& leaf = dynamic_cast<const LeafNode&>(*coded.recipe);
  const Shape shape = leaf.shape();
  const size_t row_bytes = shape.cols / type.block_elements * type.block_bytes;
  archive.as_fault_of(i, [&] {
    leaf.symbols_by_rows({0, 0, shape.rows, shape.cols}, 64, [&](size_t row, MatrixView<const Symbol> symbols) {
      Bytes bytes(symbols.rows() * row_bytes);
      pack_ggml_rows(leaf.quantizer(), row, symbols, bytes.data());
      sink.write(bytes.data(), bytes.size());
    });
  });
}

}  // namespace

CompressReport write_gguf_blocks(const std::filesystem::path& input, const std::filesystem::path& output,
                                 const std::string& type, const CompressOptions& options,
                                 const CalibrationOptions& calibration) {
  const ThreadLimit limit(options.threads);
  const GgufMixture& mixture = find_gguf_mixture(type);
  const OutputFolder scratch(output, false);
  std::filesystem::path model = input;
  {
    const std::unique_ptr<TensorFile> source = open_model_file(input);
    if (!is_gguf_model(*source)) {
      if (!is_hf_model(*source)) throw_input("{}: expected a model, for GGUF files with block types", input.string());
      model = scratch.temporary_path() / "model.gguf";
      write_model(*as_gguf(*source), model, true);
    }
  }
  std::vector<std::string> types, methods;
  CompressOptions how;
  {
    const std::unique_ptr<TensorFile> source = open_model_file(model);
    types = gguf_tensor_types(mixture, source->tensors());
    for (const std::string& t : types) methods.push_back(t.empty() ? "" : fmt::format("ggml(type={})", t));
    how = with_methods(options, *source, methods);
  }
  const std::filesystem::path coded = scratch.temporary_path() / "model.occ";
  CompressReport report = compress_model(model, coded, how, calibration);

  const ArchiveFile archive(coded);
  std::vector<OutTensor> tensors;
  for (size_t i = 0; i < types.size(); ++i) {  // the archive has the tensors of the source in their order
    const TensorInfo& t = archive.tensors()[i];
    tensors.push_back({t.name, float_type(t), t.shape, types[i].empty() ? nullptr : find_gguf_type(types[i])});
  }
  SinkOptions sink_options;
  sink_options.side_files = archive.side_files();
  sink_options.gguf_file_type = mixture.file_type;
  sink_options.sync = options.sync;
  const std::unique_ptr<TensorSink> sink = make_tensor_sink(output, std::move(sink_options));
  sink->begin(tensors);
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].blocks != nullptr) {
      write_blocks(archive, i, *tensors[i].blocks, *sink);
    } else {
      copy_tensor(archive, i, tensors[i].dtype, *sink);
    }
  }
  sink->commit();
  report.file_bytes = std::filesystem::file_size(output);
  return report;
}

}  // namespace occ
