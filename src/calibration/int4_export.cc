#include "calibration/int4_export.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/check.h"
#include "base/error.h"
#include "base/parallel.h"
#include "base/temporary.h"
#include "calibration/export_parts.h"
#include "calibration/layer_part.h"
#include "container/archive_file.h"
#include "io/copy_tensor.h"
#include "io/side_json.h"
#include "model/convert.h"
#include "model/mended_file.h"
#include "quantization/ggml.h"
#include "tensor/dtype.h"

namespace occ {
namespace {

constexpr size_t kCodesInWord = 8;  // of four bits, the first one in the lowest bits

// The linear layers that can be coded: matrices of the layers, but no stacks of experts and not the head.
std::set<std::string> linear_weights(const TensorFile& source, const ModelConfig& config) {
  std::set<std::string> names;
  for (const ModelPart& part : model_parts(source, config)) {
    if (part.part == LayerPart::kHead) continue;
    for (const std::string& name : part.tensors()) {
      const size_t i = source.find(name);
      if (i == source.tensors().size()) continue;
      const std::vector<uint64_t>& shape = source.tensors()[i].shape;
      if (shape.size() == 2 && shape[1] % 32 == 0 && name.ends_with(".weight")) names.insert(name);
    }
  }
  return names;
}

size_t group_for(const TensorFile& source, const std::set<std::string>& names) {
  for (const size_t group : {128, 64}) {
    if (std::all_of(names.begin(), names.end(), [&](const std::string& name) {
          return source.tensors()[source.find(name)].shape[1] % group == 0;
        })) {
      return group;
    }
  }
  return 32;
}

// Modules whose weights are matrices that are not coded: the head, routers, what is no multiple of 32, and what the
// archive keeps. Embeddings are among them, which does no harm.
std::vector<std::string> ignored_modules(const ArchiveFile& archive) {
  std::vector<std::string> modules = {"lm_head"};
  for (size_t i = 0; i < archive.tensors().size(); ++i) {
    const TensorInfo& t = archive.tensors()[i];
    if (archive.record(i).coded() || t.shape.size() != 2 || !t.name.ends_with(".weight")) continue;
    const std::string module = t.name.substr(0, t.name.size() - 7);
    if (module != modules[0]) modules.push_back(module);
  }
  return modules;
}

nlohmann::json quantization_config(size_t group, const std::vector<std::string>& ignored) {
  const nlohmann::json weights = {{"num_bits", 4},       {"type", "int"},       {"symmetric", true},
                                  {"strategy", "group"}, {"group_size", group}, {"dynamic", false},
                                  {"observer", "minmax"}};
  return {{"quant_method", "compressed-tensors"},
          {"format", "pack-quantized"},
          {"quantization_status", "compressed"},
          {"config_groups",
           {{"group_0",
             {{"targets", {"Linear"}},
              {"weights", weights},
              {"input_activations", nullptr},
              {"output_activations", nullptr}}}}},
          {"ignore", ignored},
          {"kv_cache_scheme", nullptr}};
}

// The type of scales: that of the model's weights, which programs compute with. It holds the scales exactly.
DType scale_type(const TensorInfo& weight) {
  return weight.dtype == DType::kF16 || weight.dtype == DType::kF32 ? weight.dtype : DType::kBF16;
}

// weight_packed, weight_scale and weight_shape of tensor i of the archive.
void write_packed(const ArchiveFile& archive, size_t i, size_t group, TensorSink& sink) {
  const ArchiveFile::Coded coded = archive.open_coded(i);
  const auto& leaf = dynamic_cast<const LeafNode&>(*coded.recipe);
  const Shape shape = leaf.shape();
  archive.as_fault_of(i, [&] {
    leaf.symbols_by_rows({0, 0, shape.rows, shape.cols}, 64, [&](size_t, MatrixView<const Symbol> symbols) {
      std::vector<uint32_t> words(symbols.rows() * shape.cols / kCodesInWord);
      for (size_t k = 0; k < symbols.size(); ++k) {
        const uint32_t code = symbols(k / shape.cols, k % shape.cols);
        words[k / kCodesInWord] |= code << (4 * (k % kCodesInWord));
      }
      sink.write(words.data(), words.size() * sizeof(uint32_t));
    });
  });
  const std::span<const float> scales = ggml_scales(leaf.quantizer());
  OCC_CHECK(scales.size() == shape.size() / group);
  const DType dtype = scale_type(archive.tensors()[i]);
  Bytes bytes(scales.size() * dtype_size(dtype));
  convert_from_f32(dtype, scales.data(), bytes.data(), scales.size());
  sink.write(bytes.data(), bytes.size());
  const int64_t dims[] = {static_cast<int64_t>(shape.rows), static_cast<int64_t>(shape.cols)};
  sink.write(dims, sizeof(dims));
}

// Refuses a folder that the output may not replace, before the long work.
void require_replaceable(const std::filesystem::path& output, const TensorFile& model) {
  SinkOptions options;
  options.side_files = model.side_files();
  make_tensor_sink(output, std::move(options));
}

CompressReport write_in(const std::filesystem::path& scratch, const std::filesystem::path& input,
                        const std::filesystem::path& output, const CompressOptions& options,
                        const CalibrationOptions& calibration) {
  std::filesystem::path model = input;
  std::unique_ptr<TensorFile> source = open_model_file(input);
  if (is_gguf_model(*source)) {
    model = scratch / "model";
    write_model(*as_hugging_face(*source), model);
    source = open_model_file(model);
  } else if (!is_hf_model(*source)) {
    throw_input("{}: expected a model, for weights of four bits", input.string());
  }
  require_replaceable(output, *source);
  const ModelConfig config = read_config(*source);
  if (config.transposed_weights) {
    throw_usage("{}: weights are stored transposed, which the package compressed-tensors has no form for",
                input.string());
  }
  const std::set<std::string> coded = linear_weights(*source, config);
  const size_t group = group_for(*source, coded);
  std::vector<std::string> methods;
  for (const TensorInfo& t : source->tensors()) {
    methods.push_back(coded.contains(t.name) ? fmt::format("ggml(type=Q4_0, group={})", group) : "");
  }
  const std::filesystem::path path = scratch / "model.occ";
  CompressReport report = compress_model(model, path, with_methods(options, *source, methods), calibration);

  const ArchiveFile archive(path);
  std::vector<OutTensor> tensors;
  for (size_t i = 0; i < methods.size(); ++i) {  // the archive has the tensors of the source in their order
    const TensorInfo& t = archive.tensors()[i];
    if (!archive.record(i).coded()) {
      tensors.push_back({t.name, t.dtype, t.shape});
      continue;
    }
    tensors.push_back({t.name + "_packed", DType::kI32, {t.shape[0], t.shape[1] / kCodesInWord}});
    tensors.push_back({t.name + "_scale", scale_type(t), {t.shape[0], t.shape[1] / group}});
    tensors.push_back({t.name + "_shape", DType::kI64, {2}});
  }
  SinkOptions sink_options;
  sink_options.sync = options.sync;
  sink_options.side_files = archive.side_files();
  change_side_json(&sink_options.side_files, "config.json", archive.path(), [&](nlohmann::json& json) {
    json["quantization_config"] = quantization_config(group, ignored_modules(archive));
    return true;
  });
  const std::unique_ptr<TensorSink> sink = make_tensor_sink(output, std::move(sink_options));
  sink->begin(tensors);
  for (size_t i = 0; i < methods.size(); ++i) {
    if (!archive.record(i).coded()) {
      copy_tensor(archive, i, archive.tensors()[i].dtype, *sink);
    } else {
      write_packed(archive, i, group, *sink);
    }
  }
  sink->commit();
  report.file_bytes = open_any(output)->file_bytes();
  return report;
}

}  // namespace

CompressReport write_int4_folder(const std::filesystem::path& input, const std::filesystem::path& output,
                                 const CompressOptions& options, const CalibrationOptions& calibration) {
  const ThreadLimit limit(options.threads);
  const OutputFolder scratch(output, false);
  return naming_input(input, scratch.temporary_path(),
                      [&] { return write_in(scratch.temporary_path(), input, output, options, calibration); });
}

}  // namespace occ
