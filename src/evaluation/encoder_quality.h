// The figures of `occ evaluate` for an encoder model and its reference: similarities of sentence pairs, and the
// accuracy of a linear classifier (a probe) on the embeddings (evaluation/embeddings.h).
#pragma once

#include <optional>
#include <string>

#include "evaluation/embeddings.h"
#include "model/embed.h"

namespace occ {

struct PairsResult {
  double spearman = 0;  // rank correlation of the cosines of the pairs in the model and in the reference
  Mean cosine;          // between the embedding of a text in the model and in the reference
  size_t n = 0;         // number of pairs
};
// Measures the first `limit` pairs of the file `pairs` (0: all of them); read_pairs describes the file. `spearman` is
// NaN if all cosines of a model are equal. Usage error if the embeddings of the two models have different widths.
PairsResult measure_pairs(const EncoderModel& model, const EncoderModel& reference, const std::string& pairs,
                          size_t limit, const TextProgress& progress = {});

struct ProbeResult {
  Mean acc;
  std::optional<Mean> reference_acc;
  size_t n = 0, trained_on = 0;  // number of texts in the test and in the training
};
// Trains the probe on the first `limit` texts of the file `train` and tests it on the first `limit` texts of the file
// `test` (0: all of them); read_labelled describes the files. `reference` may be null.
ProbeResult measure_probe(const EncoderModel& model, const EncoderModel* reference, const std::string& train,
                          const std::string& test, size_t limit, const TextProgress& progress = {});

}  // namespace occ
