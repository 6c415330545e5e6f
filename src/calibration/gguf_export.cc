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

// The float type of tensor i, which is kept in the archive. f32 where f16 is too small: for values above 65504, and where
// blocks were `planned`, but the archive has none because their scales, which are f16, would be 0.
DType float_type(const ArchiveFile& archive, size_t i, bool planned) {
  const TensorInfo& t = archive.tensors()[i];
  const DType type = gguf_float_type(t);
  if (type != DType::kF16 || t.dtype == DType::kF16) return type;
  return planned || !fits(archive, i, type) ? DType::kF32 : type;
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

CompressReport write_in(const std::filesystem::path& scratch, const std::filesystem::path& input,
                        const std::filesystem::path& output, const GgufMixture& mixture, const CompressOptions& options,
                        const CalibrationOptions& calibration) {
  std::filesystem::path model = input;
  {
    const std::unique_ptr<TensorFile> source = open_model_file(input);
    if (!is_gguf_model(*source)) {
      if (!is_hf_model(*source)) throw_input("{}: expected a model, for GGUF files with block types", input.string());
      model = scratch / "model.gguf";
      write_model(*as_gguf(*source), model);
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
  const std::filesystem::path coded = scratch / "model.occ";
  CompressReport report = compress_model(model, coded, how, calibration);

  const ArchiveFile archive(coded);
  std::vector<OutTensor> tensors;
  for (size_t i = 0; i < types.size(); ++i) {  // the archive has the tensors of the source in their order
    const TensorInfo& t = archive.tensors()[i];
    if (archive.record(i).coded()) {
      tensors.push_back({t.name, DType::kF32, t.shape, find_gguf_type(types[i])});
    } else {
      tensors.push_back({t.name, float_type(archive, i, !types[i].empty()), t.shape});
    }
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

}  // namespace

CompressReport write_gguf_blocks(const std::filesystem::path& input, const std::filesystem::path& output,
                                 const std::string& type, const CompressOptions& options,
                                 const CalibrationOptions& calibration) {
  const ThreadLimit limit(options.threads);
  const GgufMixture& mixture = find_gguf_mixture(type);
  const OutputFolder scratch(output, false);
  return naming_input(input, scratch.temporary_path(),
                      [&] { return write_in(scratch.temporary_path(), input, output, mixture, options, calibration); });
}

}  // namespace occ
