#include "model_input.h"

#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/parallel.h"
#include "container/archive_file.h"
#include "container/index.h"
#include "io/gguf_json.h"
#include "io/safetensors.h"
#include "io/sink.h"
#include "occ/error.h"

namespace occ {
namespace {

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
  index.version = 0;
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

// ---- mutations of the text ----

struct Range {
  size_t first, count;
};

// The numbers and, if `values`, the other scalars of JSON in the text.
std::vector<Range> find_scalars(std::string_view text, bool values) {
  std::vector<Range> found;
  for (size_t i = 0; i < text.size();) {
    size_t end = i;
    if (text[i] >= '0' && text[i] <= '9') {
      while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
    } else if (values && text[i] == '"') {
      const size_t quote = text.find_first_of("\"\n", i + 1);
      if (quote != std::string_view::npos && text[quote] == '"') end = quote + 1;
    } else if (values && (text.substr(i, 4) == "true" || text.substr(i, 4) == "null")) {
      end = i + 4;
    } else if (values && text.substr(i, 5) == "false") {
      end = i + 5;
    }
    if (end != i) found.push_back({i, end - i});
    i = std::max(end, i + 1);
  }
  return found;
}

std::string other_number(std::string_view old, std::minstd_rand& random) {
  constexpr std::array kNumbers = {"0",
                                   "1",
                                   "2",
                                   "3",
                                   "7",
                                   "64",
                                   "65",
                                   "-1",
                                   "0.5",
                                   "1e30",
                                   "65536",
                                   "2147483648",
                                   "4294967296",
                                   "9223372036854775807",
                                   "18446744073709551615"};
  const uint64_t n = std::strtoull(std::string(old).c_str(), nullptr, 10);
  switch (random() % 6) {
    case 0:
      return std::to_string(n + 1);
    case 1:
      return std::to_string(n - 1);
    case 2:
      return std::to_string(2 * n);
    case 3:
      return std::to_string(n / 2);
    default:
      return kNumbers[random() % kNumbers.size()];
  }
}

// Changes one number, one value or one line.
std::string changed(const std::string& text, std::minstd_rand& random) {
  constexpr std::array kValues = {
      "null",      "true",    "false", "0",   "-1",       "1.5",         "\"\"",
      "\"x\"",     "[]",      "{}",    "[1]", "\"\xff\"", "\"\\u00e9\"", "{\"type\":\"ByteLevel\"}",
      "\"llama\"", "\"gelu\""};
  const unsigned kind = random() % 8;
  if (kind < 6) {
    const std::vector<Range> scalars = find_scalars(text, kind >= 3);
    if (scalars.empty()) return text;
    const Range r = scalars[random() % scalars.size()];
    std::string_view old = std::string_view(text).substr(r.first, r.count);
    std::string next = kind < 3 ? other_number(old, random) : kValues[random() % kValues.size()];
    if (kind == 5) {  // by another value of the text
      const Range other = scalars[random() % scalars.size()];
      next = text.substr(other.first, other.count);
    }
    return text.substr(0, r.first) + next + text.substr(r.first + r.count);
  }
  std::vector<Range> lines;
  for (size_t i = 0; i < text.size();) {
    const size_t end = std::min(text.find('\n', i), text.size() - 1) + 1;
    lines.push_back({i, end - i});
    i = end;
  }
  if (lines.empty()) return text;
  const Range r = lines[random() % lines.size()], other = lines[random() % lines.size()];
  return text.substr(0, r.first) + (kind == 6 ? "" : text.substr(other.first, other.count)) +
         text.substr(r.first + r.count);
}

// A folder for temporary files that is removed at the end of the process.
class FuzzFolder {
 public:
  FuzzFolder() {
    std::string pattern = fs::exists("/dev/shm") ? "/dev/shm/occ-fuzz-XXXXXX" : "/tmp/occ-fuzz-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~FuzzFolder() {
    std::error_code ec;
    fs::remove_all(path_, ec);
  }
  FuzzFolder(const FuzzFolder&) = delete;
  FuzzFolder& operator=(const FuzzFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::optional<fs::path> write_model(const uint8_t* data, size_t size, const fs::path& folder) {
  Model model;
  if (!parse_model({reinterpret_cast<const char*>(data), size}, &model)) return std::nullopt;
  fs::path path = folder / "in";
  fs::remove_all(path);
  if (model.form == 'a' || model.form == 'b') {
    path += ".occ";
    write_archive(model, decoded_hashes(model, path), path);
  } else {
    if (model.form == 'g') path += ".gguf";
    write_tensors(model, path, {.side_files = model.side_files()});
  }
  return path;
}

}  // namespace

void with_fuzz_model(const uint8_t* data, size_t size, const ModelBody& body) {
  static const FuzzFolder folder;
  static const ThreadLimit limit(1);
  try {
    const std::optional<fs::path> input = write_model(data, size, folder.path());
    if (input) body(*input, folder.path());
  } catch (const Error&) {
  } catch (const std::bad_alloc&) {
  }
}

void must_succeed(const std::function<void()>& check) {
  try {
    check();
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    std::abort();
  }
}

}  // namespace occ

extern "C" {
__attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most);  // only with libFuzzer

size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  std::minstd_rand random(seed);
  if (random() % 2 == 0) return LLVMFuzzerMutate(data, size, most);
  const std::string all(data, data + size);
  // What follows the last "---" is the data of coded tensors, which has no lines.
  const size_t last = all.rfind("\n---\n");
  const size_t text_size = last == std::string::npos ? size : last + 5;
  std::string out = occ::changed(all.substr(0, text_size), random) + all.substr(text_size);
  out.resize(std::min(out.size(), most));
  std::copy(out.begin(), out.end(), data);
  return out.size();
}
}
