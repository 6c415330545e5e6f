#include "calibration/gguf_export.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "base/temporary.h"
#include "calibration/gguf_types.h"
#include "container/archive_file.h"
#include "io/gguf_blocks.h"
#include "io/sink.h"
#include "model/convert.h"
#include "model/mended_file.h"
#include "quantization/ggml.h"
#include "recipe/nodes.h"

namespace occ {
namespace {

constexpr uint64_t kBytesAtOnce = uint64_t{1} << 24;

const GgufType* block_type(std::string_view name) {
  for (uint32_t id = 0; find_gguf_type(id) != nullptr || id < 64; ++id) {
    const GgufType* type = find_gguf_type(id);
    if (type != nullptr && type->name == name) return type;
  }
  throw_usage("GGUF has no type '{}'", name);
}

// Writes the elements of tensor i as they are, or vectors as f32, which llama.cpp expects.
void write_floats(const TensorFile& file, size_t i, DType dtype, TensorSink& sink) {
  const TensorInfo& info = file.tensors()[i];
  const uint64_t at_once = kBytesAtOnce / dtype_size(dtype);
  for (uint64_t first = 0; first < info.elements(); first += at_once) {
    const uint64_t n = std::min(at_once, info.elements() - first);
    Bytes bytes(n * dtype_size(dtype));
    if (dtype == info.dtype) {
      file.read_raw(i, first, n, bytes.data());
    } else {
      file.read_f32(i, first, n, reinterpret_cast<float*>(bytes.data()));
    }
    sink.write(bytes.data(), bytes.size());
  }
}

DType output_type(const TensorInfo& t) { return t.shape.size() < 2 && is_float(t.dtype) ? DType::kF32 : t.dtype; }

// The model in the form of GGUF, in floats.
void write_gguf(const TensorFile& model, const std::filesystem::path& path) {
  SinkOptions options;
  options.side_files = model.side_files();
  options.sync = false;
  const std::unique_ptr<TensorSink> sink = make_tensor_sink(path, std::move(options));
  std::vector<OutTensor> tensors;
  for (const TensorInfo& t : model.tensors()) tensors.push_back({t.name, output_type(t), t.shape});
  sink->begin(tensors);
  for (size_t i = 0; i < tensors.size(); ++i) write_floats(model, i, tensors[i].dtype, *sink);
  sink->commit();
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
      write_gguf(*as_gguf(*source), model);
    }
  }
  CompressOptions how = options;
  how.method = fmt::format("ggml(type={})", mixture.base);
  how.recipe.clear();
  how.tensors.clear();
  how.keep.clear();
  how.bits.reset();
  how.ratio.reset();
  how.size.reset();
  how.nmse.reset();
  how.resume = false;
  how.sync = false;
  std::vector<std::string> types;
  {
    const std::unique_ptr<TensorFile> source = open_model_file(model);
    types = gguf_tensor_types(mixture, source->tensors());
    for (size_t i = 0; i < types.size(); ++i) {
      how.tensors.emplace_back(source->tensors()[i].name,
                               types[i].empty() ? "keep" : fmt::format("ggml(type={})", types[i]));
    }
  }
  const std::filesystem::path coded = scratch.temporary_path() / "model.occ";
  CompressReport report = compress_model(model, coded, how, calibration);

  const ArchiveFile archive(coded);
  std::vector<OutTensor> tensors;
  for (size_t i = 0; i < types.size(); ++i) {  // the archive has the tensors of the source in their order
    const TensorInfo& t = archive.tensors()[i];
    tensors.push_back({t.name, output_type(t), t.shape, types[i].empty() ? nullptr : block_type(types[i])});
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
      write_floats(archive, i, tensors[i].dtype, *sink);
    }
  }
  sink->commit();
  report.file_bytes = std::filesystem::file_size(output);
  return report;
}

}  // namespace occ
