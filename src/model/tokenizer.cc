#include "model/tokenizer.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "container/archive_file.h"
#include "io/gguf.h"
#include "io/gguf_json.h"
#include "io/hf.h"
#include "model/pipeline.h"

namespace occ {

namespace fs = std::filesystem;

std::unique_ptr<Tokenizer> make_tokenizer(const std::vector<SideFile>& files, const std::string& what) {
  const auto find = [&](std::string_view name) {
    return std::find_if(files.begin(), files.end(), [&](const SideFile& f) { return f.name == name; });
  };
  if (find("tokenizer.json") != files.end()) return tokenizer_from_json(files, what, what + "/tokenizer.json");
  const auto gguf = find(kGgufSideFile);
  if (gguf != files.end()) {
    const std::string_view text(reinterpret_cast<const char*>(gguf->bytes.data()), gguf->bytes.size());
    return tokenizer_from_gguf(parse_gguf_metadata_json(text, what + "/" + kGgufSideFile), what);
  }
  for (const char* other : {"tokenizer.model", "vocab.json", "vocab.txt"}) {
    if (find(other) == files.end()) continue;
    throw_input(
        "{}: expected tokenizer.json, found only {}; convert with Python: "
        "transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
        what, other);
  }
  throw_input("{}: expected a tokenizer (tokenizer.json, or GGUF with a vocabulary), found none", what);
}

std::unique_ptr<Tokenizer> open_tokenizer(const std::string& path) {
  const fs::path file(path);
  std::error_code ec;
  if (file.extension() == ".json" && fs::is_regular_file(file, ec)) {
    // Of the files beside it, those that belong to a tokenizer.
    std::vector<SideFile> files = {{"tokenizer.json", read_file(file)}};
    for (const std::string_view name : side_file_names()) {
      const fs::path beside = file.parent_path() / name;
      if (name == "tokenizer.json" || name == kGgufSideFile || !fs::is_regular_file(beside, ec)) continue;
      files.push_back({std::string(name), read_file(beside)});
    }
    return tokenizer_from_json(files, file.parent_path().empty() ? "." : file.parent_path().string(), path);
  }
  const std::unique_ptr<TensorFile> model = open_any(file);
  if (const auto* gguf = dynamic_cast<const GgufFile*>(model.get())) {
    return tokenizer_from_gguf(gguf->metadata(), path);
  }
  return make_tokenizer(model->side_files(), path);
}

}  // namespace occ
