#include "tokenizer/tokenizer.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "container/archive_file.h"
#include "io/gguf.h"
#include "io/gguf_json.h"
#include "io/hf.h"
#include "tensor/side_files.h"
#include "tokenizer/tokenizer_pipeline.h"

namespace occ {

namespace fs = std::filesystem;

std::unique_ptr<Tokenizer> make_tokenizer(const std::vector<SideFile>& files, const std::string& what) {
  if (find_side_file(files, "tokenizer.json") != nullptr)
    return tokenizer_from_json(files, what, what + "/tokenizer.json");
  if (const SideFile* gguf = find_side_file(files, kGgufSideFile)) {
    return tokenizer_from_gguf(parse_gguf_metadata_json(text_of(*gguf), what + "/" + kGgufSideFile), what);
  }
  return tokenizer_from_older_files(files, what);
}

std::unique_ptr<Tokenizer> make_tokenizer(const TensorFile& model) {
  // A GGUF's metadata as it is, without the detour through its side file.
  if (const auto* gguf = dynamic_cast<const GgufFile*>(&model)) {
    return tokenizer_from_gguf(gguf->metadata(), model.path());
  }
  return make_tokenizer(model.side_files(), model.path());
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
  return make_tokenizer(*open_any(file));
}

}  // namespace occ
