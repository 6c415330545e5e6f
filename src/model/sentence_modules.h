// How sentence-transformers make one vector of a text from the last hidden states of its tokens: the pooling
// (1_Pooling/config.json), and the modules behind it that modules.json lists (Dense, LayerNorm, Normalize). The weights
// of a module are tensors whose names begin with its folder ("2_Dense/linear.weight"). Also the prompts that
// config_sentence_transformers.json names, which are put before a text.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/config.h"
#include "occ/matrix.h"
#include "tensor/tensor_file.h"

namespace occ {

inline constexpr const char* kPoolingFile = "1_Pooling/config.json";

// Sets what `config` says of texts: pooling, says_pooling, pools_prompt, max_text and lowercase. max_context must be set before. The
// files that say so may be missing; then the pooling stays as it is. Input error for several poolings at
// once, which would be joined.
void read_pooling(const TensorFile& file, const std::vector<SideFile>& side_files, ModelConfig* config);

// One module behind the pooling. Dense: y = activation(W x + b), with `residual` y + x, or y + R x where the widths
// differ. LayerNorm: y = (x - mean) / sqrt(variance + 1e-5) * scale + bias. Normalize: y = x / |x|.
struct SentenceModule {
  enum class Kind { kDense, kLayerNorm, kNormalize } kind = Kind::kNormalize;
  Matrix<float> weight;  // Dense: W [out, in]
  std::vector<float> scale, bias;
  std::string activation;  // "Identity", "Tanh", "ReLU", "GELU", "SiLU" or "Sigmoid"
  bool residual = false;
  Matrix<float> residual_weight;  // R [out, in], or empty
};

class SentenceHead {
 public:
  SentenceHead() = default;
  // `config`: that of the model, with its pooling. Input error for a module of another type that changes vectors, for
  // an unknown activation, and for a weight that is missing or has another shape than its inputs ask for.
  SentenceHead(const TensorFile& file, const ModelConfig& config);

  // Writes the pooled vector of one text to out [dim]. x [tokens, dim] are its last hidden states, at least one row.
  // The first prompt_tokens of them do not count if the pooling leaves out the prompt.
  void pool(MatrixView<const float> x, size_t prompt_tokens, float* out) const;
  // Pooled vectors [texts, dim] through all modules, to [texts, width of the last].
  Matrix<float> finish(Matrix<float> pooled) const;
  bool has_weights() const;  // of modules
  bool normalizes() const;   // a module makes the length of every vector 1

 private:
  Pooling pooling_ = Pooling::kMean;
  bool pools_prompt_ = true;
  std::vector<SentenceModule> modules_;
};

// Divides every row by its length; a row of zeros stays.
void scale_to_unit_length(MatrixView<float> rows);

// The prompt called `name`; without a name the one that is the default, or "" if none is. Usage error for a name that
// the model does not have, which lists those it has.
std::string find_prompt(const TensorFile& file, const std::optional<std::string>& name);

}  // namespace occ
