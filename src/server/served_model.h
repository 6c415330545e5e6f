// A model that is served: a language model with its scheduler, an encoder, or a language model that is meant as one, too.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "server/scheduler.h"
#include "tensor/tensor_file.h"

namespace occ {

struct ServedModel {
  std::string id;  // the name of the file or folder, without its extension
  std::unique_ptr<TensorFile> file;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Transformer> transformer;  // of a language model
  std::unique_ptr<Scheduler> scheduler;
  std::unique_ptr<Encoder> encoder;  // of what makes vectors
  std::string embedding_prompt;      // that the model has before every text, or empty
  std::timed_mutex encoder_turn;     // who holds it may run the encoder
  std::atomic<size_t> encoder_waiting{0};
  uint64_t file_bytes = 0, weights = 0;

  double bits_per_weight() const {
    return weights == 0 ? 0 : 8 * static_cast<double>(file_bytes) / static_cast<double>(weights);
  }
};

// Opens a model of any format. Throws an input error that names what is wrong.
std::unique_ptr<ServedModel> open_served_model(const std::string& path, Arithmetic arithmetic,
                                               const SchedulerOptions& options);

}  // namespace occ
