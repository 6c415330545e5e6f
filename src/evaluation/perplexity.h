// Measures the perplexity of a causal language model on a text, and how far the model is from a reference model.
//
// The convention is that of llama.cpp, so that the figures can be compared with it. The text becomes tokens, with a BOS
// token (beginning of sequence) at the start where the tokenizer adds one. The tokens are cut into chunks of `context`
// tokens; tokens that fill no whole chunk are dropped. The first token of every chunk is replaced by BOS where the
// tokenizer adds one. In every chunk the tokens at the positions context/2 + 1 .. context - 1 are scored.
//   perplexity = exp(mean negative log-likelihood of the scored tokens)
//   KL divergence = sum_v p(v) log(p(v) / q(v)) in nats at every scored position, where p are the probabilities of the
//   reference and q those of the model
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
  size_t context = 0;     // tokens of a chunk; 0: 512, or fewer if the model takes fewer
  size_t max_tokens = 0;  // how many tokens of the text are used; 0: all
  std::function<void(uint64_t done, uint64_t total)> progress;  // counts tokens
};

// How far the model is from the reference. Standard errors are over the scored positions; KL divergences are in nats.
struct Divergence {
  double kl_mean = 0, kl_stderr = 0, kl_p99 = 0, kl_max = 0;
  double top1_agreement = 0, top1_stderr = 0;  // share of positions where both prefer the same token
  double reference_perplexity = 0;
};

struct PerplexityResult {
  double perplexity = 0, perplexity_stderr = 0;
  double nll = 0;       // mean negative log-likelihood of the scored tokens, in nats
  uint64_t tokens = 0;  // number of scored tokens
  uint64_t chunks = 0;
  std::optional<Divergence> divergence;
};

// `what` names the text in errors; `reference` may be null. Usage error if the text has fewer tokens than a chunk, if a
// chunk is longer than a model allows or shorter than 4 tokens, or if the models have vocabularies of different sizes.
// Input error if the text has a token above the model's vocabulary, or if logits are not finite.
PerplexityResult measure_perplexity(const Transformer& model, const Tokenizer& tokenizer, std::string_view text,
                                    const std::string& what, const Transformer* reference,
                                    const PerplexityOptions& options);

// Returns log(sum_v exp(logits[v])) of one row of logits.
double log_partition(std::span<const float> logits);

// The same, but an input error if the result is not finite, as it is for a model with NaN among its weights.
double finite_log_partition(std::span<const float> logits);

// The mean of some values and the standard error of this mean.
struct Mean {
  double mean = 0, standard_error = 0;
};
Mean mean_of(std::span<const double> values);

}  // namespace occ
