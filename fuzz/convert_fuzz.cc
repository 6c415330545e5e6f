// Converts any model between a Hugging Face folder and a GGUF file, as `occ decompress` does. The model is a folder, a
// GGUF file or an archive with right checksums. Conversion must throw occ::Error or succeed, and if it succeeds the
// result must open again.
//
// The input is text. Its first line has one letter for the form (h: folder, g: GGUF, a: archive of a folder, b: archive
// of a GGUF). Then come three parts, each with a line "---" at its end: config.json (gguf.json for a GGUF),
// tokenizer.json, and the tensors with one line "dtype dimension,dimension,... bytes name recipe" for each. A tensor
// without a recipe gets artificial values. A tensor with a recipe takes its next `bytes` bytes from the data after the
// last part.
#include <unistd.h>
#include <zstd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <sstream>
#include <string>

#include "base/file.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "container/archive_file.h"
#include "container/index.h"
#include "io/gguf_json.h"
#include "io/safetensors.h"
#include "io/sink.h"
#include "model/config.h"
#include "model/convert.h"
#include "model/weights.h"
#include "occ/error.h"

namespace {

using namespace occ;
namespace fs = std::filesystem;

constexpr uint64_t kMostElements = 1 << 16;  // elements of all tensors; more would only take time

struct Tensor {
  OutTensor out;
  std::string recipe;
  Bytes bytes;
};

struct Model {
  char form = 'h';
  std::string config, tokenizer;
  std::vector<Tensor> tensors;

  bool of_gguf() const { return form == 'g' || form == 'b'; }
  std::vector<SideFile> side_files() const {
    std::vector<SideFile> files;
    files.push_back({of_gguf() ? kGgufSideFile : "config.json", Bytes(config.begin(), config.end())});
    if (!of_gguf()) files.push_back({"tokenizer.json", Bytes(tokenizer.begin(), tokenizer.end())});
    return files;
  }
};

// Returns the text up to the next line "---" and removes both from `rest`.
std::string_view next_part(std::string_view* rest) {
  const size_t end = std::min(rest->find("\n---\n"), rest->size());
  const std::string_view part = rest->substr(0, end);
  rest->remove_prefix(std::min(rest->size(), end + 5));
  return part;
}

// Returns false if the model is too large, or if no file could have such content.
bool parse_model(std::string_view text, Model* model) {
  if (text.size() < 2 || text[1] != '\n') return false;
  model->form = text[0];
  text.remove_prefix(2);
  model->config = next_part(&text);
  model->tokenizer = next_part(&text);
  std::istringstream lines{std::string(next_part(&text))};
  uint64_t elements = 0;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string dtype, shape, dimension;
    uint64_t size = 0;
    Tensor t;
    if (!(words >> dtype >> shape >> size >> t.out.name)) return false;
    std::getline(words >> std::ws, t.recipe);
    const std::optional<DType> known = parse_dtype(dtype);
    if (!known) return false;
    t.out.dtype = *known;
    std::istringstream dimensions(shape);
    uint64_t count = 1;
    while (std::getline(dimensions, dimension, ',')) {
      const uint64_t d = std::strtoull(dimension.c_str(), nullptr, 10);
      if (d > kMostElements || (count *= d) > kMostElements) return false;
      t.out.shape.push_back(d);
    }
    if ((elements += count) > kMostElements || size > text.size()) return false;
    if (model->form != 'a' && model->form != 'b') t.recipe.clear();  // only archives have coded tensors
    if (!is_float(t.out.dtype)) {
      t.recipe.clear();
      t.bytes.resize(count * dtype_size(t.out.dtype));
    } else if (t.recipe.empty()) {
      std::vector<float> values(count);
      for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i % 17) / 16 - 0.5f;
      t.bytes.resize(count * dtype_size(t.out.dtype));
      convert_from_f32(t.out.dtype, values.data(), t.bytes.data(), count);
    } else {
      t.bytes.assign(text.begin(), text.begin() + static_cast<ptrdiff_t>(size));
      text.remove_prefix(size);
    }
    model->tensors.push_back(std::move(t));
  }
  return true;
}

void write_tensors(const Model& model, const fs::path& path, SinkOptions options) {
  options.sync = false;
  const auto sink = make_tensor_sink(path, std::move(options));
  std::vector<OutTensor> tensors;
  for (const Tensor& t : model.tensors) tensors.push_back(t.out);
  sink->begin(tensors);
  for (const Tensor& t : model.tensors) sink->write(t.bytes.data(), t.bytes.size());
  sink->commit();
}

void write_archive(const Model& model, const std::vector<uint64_t>& decoded_hashes, const fs::path& path) {
  ArchiveIndex index;
  index.source_format = "fuzz";
  std::vector<OutTensor> stored;
  Bytes data;
  for (size_t i = 0; i < model.tensors.size(); ++i) {
    const Tensor& t = model.tensors[i];
    TensorRecord r;
    r.name = t.out.name, r.shape = t.out.shape, r.dtype = t.out.dtype, r.recipe = t.recipe;
    r.decoded_hash = decoded_hashes[i];
    r.checksum = tensor_checksum(r, t.bytes);
    stored.push_back(r.coded() ? OutTensor{r.name, DType::kU8, {t.bytes.size()}} : t.out);
    data.insert(data.end(), t.bytes.begin(), t.bytes.end());
    index.tensors.push_back(std::move(r));
  }
  for (const SideFile& f : model.side_files()) {
    Bytes packed(ZSTD_compressBound(f.bytes.size()));
    packed.resize(ZSTD_compress(packed.data(), packed.size(), f.bytes.data(), f.bytes.size(), 1));
    index.files.push_back({f.name, f.bytes.size(), hash64(packed)});
    stored.push_back({kSideFilePrefix + f.name, DType::kU8, {packed.size()}});
    data.insert(data.end(), packed.begin(), packed.end());
  }
  const std::string text = print_index(index);
  SafetensorsWriter writer(path, stored, {{kIndexKey, text}, {kCheckKey, hash_hex(hash64(std::string_view(text)))}},
                           false);
  writer.write(data.data(), data.size());
  writer.commit();
}

// Returns the hashes of the decoded tensors, so that the archive can have right hashes; 0 for tensors that do not
// decode.
std::vector<uint64_t> decoded_hashes(const Model& model, const fs::path& path) {
  std::vector<uint64_t> hashes(model.tensors.size());
  write_archive(model, hashes, path);
  const ArchiveFile file(path);
  for (size_t i = 0; i < hashes.size(); ++i) {
    if (!file.record(i).coded()) continue;
    try {
      const ArchiveFile::Coded coded = file.open_coded(i);
      const Shape shape = coded.recipe->shape();
      Matrix<float> values(shape.rows, shape.cols);
      if (shape.size() != 0) coded.recipe->dequantize({0, 0, shape.rows, shape.cols}, values.view());
      ValuesHash hash(shape, 1);
      hashes[i] = hash.add(0, values.view()).value_or(hash_of_chunks({}));
    } catch (const Error&) {
    }
  }
  return hashes;
}

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

// Whatever the input was, the result of a conversion must be a complete model that can be opened.
void check_is_model(const fs::path& path) {
  try {
    const std::unique_ptr<TensorFile> file = open_any(path);
    const ModelConfig config = read_config(*file);
    WeightLoader(*file, config, Arithmetic::kF32);
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    std::abort();
  }
}

// A temporary folder that is removed at the end of the process.
struct Folder {
  Folder() {
    std::string pattern = fs::exists("/dev/shm") ? "/dev/shm/occ-fuzz-XXXXXX" : "/tmp/occ-fuzz-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    path = pattern;
  }
  ~Folder() {
    std::error_code ec;
    fs::remove_all(path, ec);
  }
  fs::path path;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  static const ThreadLimit limit(1);
  const fs::path in = folder.path / "in";
  try {
    Model model;
    if (!parse_model({reinterpret_cast<const char*>(data), size}, &model)) return 0;
    fs::remove_all(in);
    fs::path input = in;
    if (model.form == 'a' || model.form == 'b') {
      input += ".occ";
      write_archive(model, decoded_hashes(model, input), input);
    } else {
      if (model.form == 'g') input += ".gguf";
      write_tensors(model, input, {.side_files = model.side_files()});
    }
    const std::unique_ptr<TensorFile> file = open_any(input);
    const bool to_folder = is_gguf_model(*file);
    if (!to_folder && !is_hf_model(*file)) return 0;
    const std::unique_ptr<TensorFile> converted = to_folder ? as_hugging_face(*file) : as_gguf(*file);
    const fs::path out = folder.path / (to_folder ? "out" : "out.gguf");
    fs::remove_all(out);
    copy_all(*converted, out);
    check_is_model(out);
  } catch (const Error&) {
  } catch (const std::bad_alloc&) {
  }
  return 0;
}
