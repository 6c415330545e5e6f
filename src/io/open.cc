#include "io/open.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary.h"
#include "io/gguf.h"
#include "io/gguf_writer.h"
#include "io/hf.h"
#include "io/json.h"
#include "io/npy.h"
#include "io/npz.h"
#include "io/quantized.h"
#include "io/safetensors.h"
#include "io/sink.h"
#include "io/vecs.h"

namespace occ {
namespace {

namespace fs = std::filesystem;

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

bool is_pickle_extension(std::string_view extension) {
  return is_one_of(extension, {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"});
}

bool is_vecs_extension(std::string_view extension) { return is_one_of(extension, {".fvecs", ".bvecs", ".ivecs"}); }

// Whether a path that does not exist looks like the name of a model on the Hugging Face Hub: ORG/NAME.
bool is_hub_name(const fs::path& path) {
  const std::string name = path.string();
  const size_t slash = name.find('/');
  const auto part = [](std::string_view s) {
    return !s.empty() && s[0] != '.' && s[0] != '~' && std::all_of(s.begin(), s.end(), [](unsigned char c) {
      return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
    });
  };
  if (slash == std::string::npos || !part(name.substr(0, slash)) || !part(name.substr(slash + 1))) return false;
  const std::string extension = path.extension().string();
  std::error_code ec;
  return !fs::exists(path.parent_path(), ec) && !is_pickle_extension(extension) && !is_vecs_extension(extension) &&
         !is_one_of(extension, {".gguf", ".safetensors", ".npy", ".npz", ".occ", ".json", ".txt"});
}

[[noreturn]] void throw_missing(const fs::path& path) {
  if (!is_hub_name(path)) throw_input("{}: expected a file or folder, found none", path.string());
  const std::string folder = path.filename().string();
  throw_input(
      "{0}: expected a file or folder, found none; a model of the Hugging Face Hub is downloaded first: "
      "'huggingface-cli download {0} --local-dir {1}' makes the folder {1}",
      path.string(), folder);
}

// Writes all tensors to one safetensors file.
class SafetensorsSink final : public TensorSink {
 public:
  SafetensorsSink(const fs::path& path, bool sync) : path_(path), sync_(sync) {}
  void begin(std::vector<OutTensor> tensors) override {
    writer_ = std::make_unique<SafetensorsWriter>(path_, std::move(tensors),
                                                  std::map<std::string, std::string>{{"format", "pt"}}, sync_);
  }
  void write(const void* data, size_t bytes) override { writer_->write(data, bytes); }
  void commit() override { writer_->commit(); }

 private:
  fs::path path_;
  bool sync_;
  std::unique_ptr<SafetensorsWriter> writer_;
};

}  // namespace

std::unique_ptr<TensorFile> open_tensor_file(const fs::path& path) {
  std::error_code ec;
  const fs::file_status status = fs::status(path, ec);
  if (!fs::exists(status)) throw_missing(path);
  if (fs::is_directory(status)) return dequantized(std::make_unique<HfFolder>(path));

  const std::string extension = path.extension().string();
  std::string magic(10, '\0');
  {
    const InputFile file(path);
    file.read(0, magic.data(), std::min<uint64_t>(magic.size(), file.size()));
  }
  if (extension == ".gguf" || magic.starts_with("GGUF")) {
    return open_gguf(path);
  }
  if (extension == ".safetensors") return std::make_unique<SafetensorsFile>(path);
  if (extension == ".npy") return std::make_unique<NpyFile>(path);
  if (extension == ".npz") return std::make_unique<NpzFile>(path);
  if (is_vecs_extension(extension)) return std::make_unique<VecsFile>(path);
  if (magic.starts_with("\x93NUMPY")) return std::make_unique<NpyFile>(path);
  if (is_pickle_extension(extension) || magic.starts_with("\x80\x02")) {
    throw_input(
        "{}: pickles can run code and are refused; convert with Python: "
        "safetensors.torch.save_file(torch.load(path, weights_only=True), 'model.safetensors')",
        path.string());
  }
  // A safetensors file with any name starts with eight bytes that hold a small length, and a JSON object follows.
  if (extension != ".occ" && magic.substr(4, 4) == std::string_view("\0\0\0\0", 4) && magic[8] == '{') {
    return std::make_unique<SafetensorsFile>(path);
  }
  throw_input(
      "{}: unsupported file, expected a Hugging Face folder, .safetensors, .gguf, .npy, .npz, .fvecs, .bvecs or "
      ".ivecs, "
      "found extension '{}'",
      path.string(), printable(extension));
}

bool is_folder_output(const fs::path& path) {
  std::error_code ec;
  if (!path.has_filename() || !path.has_extension()) return true;
  return !is_one_of(path.extension().string(), {".safetensors", ".npy", ".fvecs", ".gguf"}) &&
         fs::is_directory(path, ec);
}

std::unique_ptr<TensorSink> make_tensor_sink(const fs::path& path, SinkOptions options) {
  remove_stale_temporaries(path);
  const std::string extension = path.has_filename() ? path.extension().string() : "";
  if (extension == ".safetensors") return std::make_unique<SafetensorsSink>(path, options.sync);
  if (extension == ".npy") return make_npy_sink(path, options);
  if (extension == ".fvecs") return make_fvecs_sink(path, options);
  if (extension == ".gguf") {
    return make_gguf_sink(path, options);
  }
  if (is_vecs_extension(extension) || is_pickle_extension(extension) || is_one_of(extension, {".npz", ".occ"})) {
    throw_usage("{}: expected an output .safetensors, .npy, .fvecs, .gguf or a folder, found '{}'", path.string(),
                extension);
  }
  if (!is_folder_output(path)) {
    throw_usage(
        "{}: expected an output .safetensors, .npy, .fvecs, .gguf or a folder (without extension, or ending in '/')",
        path.string());
  }
  return make_hf_sink(path, std::move(options));
}

}  // namespace occ
