// Converts any model between a Hugging Face folder and a GGUF file, as `occ decompress` does. Conversion must throw
// occ::Error or succeed, and if it succeeds the result must open again. Input: model_input.h.
#include <filesystem>

#include "container/archive_file.h"
#include "io/sink.h"
#include "model/config.h"
#include "model/convert.h"
#include "model/weights.h"
#include "model_input.h"
#include "occ/error.h"

namespace {

using namespace occ;
namespace fs = std::filesystem;

void copy_all(const TensorFile& file, const fs::path& path) {
  SinkOptions options;
  options.side_files = file.side_files();
  options.sync = false;
  const auto sink = make_tensor_sink(path, std::move(options));
  std::vector<OutTensor> tensors;
  for (const TensorInfo& t : file.tensors()) tensors.push_back({t.name, t.dtype, t.shape});
  sink->begin(tensors);
  for (size_t i = 0; i < tensors.size(); ++i) {
    Bytes bytes(file.tensors()[i].elements() * dtype_size(tensors[i].dtype));
    file.read_raw(i, 0, file.tensors()[i].elements(), bytes.data());
    sink->write(bytes.data(), bytes.size());
  }
  sink->commit();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  with_fuzz_model(data, size, [](const fs::path& input, const fs::path& folder) {
    const std::unique_ptr<TensorFile> file = open_any(input);
    const bool to_folder = is_gguf_model(*file);
    if (!to_folder && !is_hf_model(*file)) return;
    const std::unique_ptr<TensorFile> converted = to_folder ? as_hugging_face(*file) : as_gguf(*file);
    const fs::path out = folder / (to_folder ? "out" : "out.gguf");
    fs::remove_all(out);
    copy_all(*converted, out);
    // Whatever the input was, the result must be a complete model that can be opened.
    must_succeed([&] {
      const std::unique_ptr<TensorFile> result = open_any(out);
      const ModelConfig config = read_config(*result);
      WeightLoader(*result, config, Arithmetic::kF32);
    });
  });
  return 0;
}
