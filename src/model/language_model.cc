#include "model/language_model.h"

#include "model/mended_file.h"

namespace occ {

LanguageModel open_language_model(const std::string& path, const TransformerOptions& options) {
  LanguageModel model;
  model.file = open_model_file(path);
  model.transformer = load_transformer(*model.file, options);
  model.tokenizer = make_tokenizer(*model.file);
  return model;
}

}  // namespace occ
