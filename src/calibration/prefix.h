// Computes the inputs of the linear layers of a model, part by part (layer_part.h), for all sequences of a calibration
// text together. A layer is run for all tokens before the next one, so that memory holds the weights of one layer, and
// scratch files hold the activations.
//
// The inputs of a part depend only on the weights of the parts before it. So tensors can be coded in between, and what
// is coded next takes the errors made so far into account (as in GPTQ, arXiv 2210.17323, but part by part). Routers of
// experts are run but are not a part.
//
// The steps of a layer are those of run_layer (model/block.h) and use the same functions. run_layer itself cannot be
// called, because a run stops four times inside a layer, until the weights for the next step are coded.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "calibration/layer_part.h"
#include "model/block.h"
#include "model/config.h"
#include "model/experts.h"
#include "model/rope.h"
#include "model/weights.h"
#include "tensor/scratch_matrix.h"
#include "tensor/tensor_file.h"
#include "tokenizer/tokenizer.h"

namespace occ {

class Prefix {
 public:
  // The inputs of the linear layers of one group of the current part, for some of the tokens.
  struct Inputs {
    size_t group;                    // index in ModelPart::groups; groups come one after the other
    std::span<const size_t> tokens;  // numbers of these tokens among all tokens, ascending
    MatrixView<const float> rows;    // [tokens.size(), in]
  };
  using Visit = std::function<void(const Inputs& inputs)>;

  // `weights` and `sequences` must outlive this object. Scratch files go to `folder`.
  Prefix(const TensorFile& weights, const ModelConfig& config, std::span<const std::vector<TokenId>> sequences,
         const std::filesystem::path& folder);

  size_t tokens() const { return tokens_; }
  // Runs the part that follows the last one that was run (the first part at the beginning). Reads the weights of the
  // last part from the file, so these must be coded by now.
  void run(const ModelPart& part, const Visit& visit);
  // Continues as if `part`, the first part of a layer, had been run, with the states at this place of another Prefix
  // with the same sequences.
  void restart(const ModelPart& part, const Prefix& other);

 private:
  struct Chunk {
    size_t row, rows;  // first token, and number of tokens
    std::vector<Segment> segments;
  };
  void embed();
  void begin_layer(size_t layer);
  void run_head(const Visit& visit);
  // Adds the output of `linear` for inputs [tokens, in] to the residual stream, after post_norm. With
  // norms_residual_sums the sum is then normalised by `norm`.
  void add_output(const Linear& linear, MatrixView<const float> inputs, const NormWeights& post_norm,
                  const NormWeights& norm);
  void add_experts();
  void add_attention();
  void add_mlp();
  // Returns the input of the attention or of the MLP: norm(x), written to `buffer`, or with norms_residual_sums x itself.
  MatrixView<const float> normed(const NormWeights& norm, MatrixView<float> x, MatrixView<float> buffer) const;
  std::span<const size_t> tokens_of(const Chunk& c) const { return std::span(numbers_).subspan(c.row, c.rows); }
  // Sets `left` to the inputs of `down`.
  void activate_to(const Mlp& mlp, MatrixView<const float> inputs, MatrixView<float> left);
  // Chooses the experts of all tokens of a chunk.
  Routes route(MatrixView<const float> normed) const;
  // Calls body(chunk, tokens, row of the first token in left_) for every chunk with tokens for this expert. Adds the
  // number of tokens to *row.
  using ExpertChunk = std::function<void(const Chunk& chunk, std::span<const Routed> routed, size_t row)>;
  void for_chunks_of(size_t expert, size_t* row, const ExpertChunk& body) const;
  // Runs the part kGateUp or kDown of a mixture of experts, one expert after the other.
  void run_experts(bool of_down, const Visit& visit);
  void load(std::initializer_list<Linear*> linears);
  Matrix<float> buffer() const;

  const TensorFile& file_;
  ModelConfig config_;
  std::span<const std::vector<TokenId>> sequences_;
  std::filesystem::path folder_;
  WeightLoader loader_;
  size_t tokens_ = 0, most_rows_ = 0;
  std::vector<PlainKvCache> caches_;  // caches of one layer; all chunks use the same ones
  std::vector<Chunk> chunks_;
  std::vector<size_t> numbers_;  // 0, 1, ...: the numbers of all tokens
  // For each chunk, the experts of its tokens in the current layer; token numbers are relative to the chunk.
  std::vector<Routes> routes_;
  ScratchMatrix x_;      // [tokens, dim] residual stream
  ScratchMatrix mixed_;  // [tokens, heads * head_dim] inputs of the attention output
  ScratchMatrix left_;   // inputs of `down`, one expert after the other
  Layer layer_;
  std::optional<BlockBuffers> buffers_;
  Rope rope_, local_rope_;
  TransformerOptions options_;
};

}  // namespace occ
