#include "server/served_model.h"

#include <filesystem>

#include "model/mended_file.h"
#include "model/sentence_modules.h"
#include "report/inventory.h"

namespace occ {

std::unique_ptr<ServedModel> open_served_model(const std::string& path, Arithmetic arithmetic,
                                               const SchedulerOptions& options) {
  auto model = std::make_unique<ServedModel>();
  const std::filesystem::path full = std::filesystem::absolute(path).lexically_normal();
  const std::filesystem::path name = full.has_filename() ? full.filename() : full.parent_path().filename();
  model->id = (std::filesystem::is_directory(full) ? name : name.stem()).string();
  model->file = open_model_file(path);
  TransformerOptions how;
  how.arithmetic = arithmetic;
  if (is_encoder(*model->file)) {
    model->encoder = load_encoder(*model->file, how);
  } else {
    model->transformer = load_transformer(*model->file, how);
    if (model->transformer->config().says_pooling)
      model->encoder = make_causal_encoder(*model->transformer, *model->file);
  }
  if (model->encoder) model->embedding_prompt = find_prompt(*model->file, std::nullopt);
  model->tokenizer = make_tokenizer(*model->file);
  if (model->transformer) {
    model->scheduler = std::make_unique<Scheduler>(*model->transformer, *model->tokenizer, options);
  }
  const Inventory inventory = take_inventory(*model->file, false);
  model->file_bytes = inventory.file_bytes;
  model->weights = inventory.all.elements;
  return model;
}

}  // namespace occ
