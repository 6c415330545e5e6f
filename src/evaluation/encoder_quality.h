// MEASURE: the figures of `occ evaluate` for an encoder: sentence pairs and a probe (evaluation/embeddings.h) of a model
// and of its reference.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "evaluation/embeddings.h"
#include "tensor/tensor_file.h"

namespace occ {

// An encoder with what belongs to it.
struct EncoderModel {
  std::unique_ptr<TensorFile> file;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Encoder> encoder;

  // [texts.size(), dim].
  Matrix<float> embed(std::span<const std::string> texts, const TextProgress& progress = {}) const {
    return embed_texts(*encoder, *tokenizer, texts, progress);
  }
};

// A Hugging Face folder or an archive of one. Input error that names what is missing.
EncoderModel open_encoder(const std::string& path, const TransformerOptions& options = {});

struct PairsResult {
  double spearman = 0;  // of the cosines of pairs, model against reference; NaN if either are all equal
  Mean cosine;          // of the embedding of a text, model against reference
  size_t n = 0;         // pairs
};
// The first `limit` pairs of the file (0: all), see read_pairs. Usage error if embeddings have different widths.
PairsResult measure_pairs(const EncoderModel& model, const EncoderModel& reference, const std::string& pairs,
                          size_t limit, const TextProgress& progress = {});

struct ProbeResult {
  Mean acc;
  std::optional<Mean> reference_acc;
  size_t n = 0, trained_on = 0;  // texts
};
// The first `limit` texts of either file (0: all), see read_labelled. `reference` may be null.
ProbeResult measure_probe(const EncoderModel& model, const EncoderModel* reference, const std::string& train,
                          const std::string& test, size_t limit, const TextProgress& progress = {});

}  // namespace occ
