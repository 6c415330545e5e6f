// MEASURE: perplexity of a causal model on a text, and how far it is from a reference model.
//
// The convention of llama.cpp, so that figures compare: the token stream (with BOS where the tokenizer adds one) is cut
// into chunks of `context` tokens, the rest dropped; in each the first token is replaced by BOS where there is one; the
// tokens at positions context/2 + 1 .. context - 1 are scored. perplexity = exp(mean negative log-likelihood).
// KL = sum_v p(v) log(p(v) / q(v)), p of the reference, q of the model, at every scored position, in nats.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "model/transformer.h"
#include "tokenizer/tokenizer.h"

namespace occ {

struct PerplexityOptions {
  size_t context = 0;                                           // tokens of a chunk; 0: 512, or what the model takes
  size_t max_tokens = 0;                                        // of the text; 0: all
  std::function<void(uint64_t done, uint64_t total)> progress;  // in tokens
};

// Of the model from the reference; standard errors over the scored positions.
struct Divergence {
  double kl_mean = 0, kl_stderr = 0, kl_p99 = 0, kl_max = 0;
  double top1_agreement = 0, top1_stderr = 0;  // how often both think the same token most likely
  double reference_perplexity = 0;
};

struct PerplexityResult {
  double perplexity = 0, perplexity_stderr = 0;
  double nll = 0;       // mean over the scored tokens, nats
  uint64_t tokens = 0;  // scored
  uint64_t chunks = 0;
  std::optional<Divergence> divergence;
};

// `what` names the text in errors. Usage error if the text has fewer tokens than a chunk, if the models do not take
// that many or have different vocabularies.
PerplexityResult measure_perplexity(const Transformer& model, const Tokenizer& tokenizer, std::string_view text,
                                    const std::string& what, const Transformer* reference,
                                    const PerplexityOptions& options);

// log sum exp of a row of logits.
double log_partition(std::span<const float> logits);

// The same; input error if it is not a number: a model with NaN in its weights.
double finite_log_partition(std::span<const float> logits);

// Mean of values and its standard error.
struct Mean {
  double mean = 0, standard_error = 0;
};
Mean mean_of(std::span<const double> values);

}  // namespace occ
