// Inputs of the linear layers of a model, part after part (layer_part.h), for all sequences of a calibration text at
// once: a layer is run for all tokens before the next one, so that memory holds the weights of one layer and scratch
// files hold the activations.
//
// The inputs of a part depend on the weights of the parts before it only, so tensors can be coded in between (as in
// GPTQ, arXiv 2210.17323, but part by part): what is coded next sees what was lost so far. Routers of experts are run,
// but they are no part.
//
// The steps of a layer are those of run_layer (model/block.h) and use the same functions. They are not one call of it
// because a run stops inside the layer, four times, until the weights for the next step are coded.
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
  // Inputs of the linear layers of one group of the current part, for some of the tokens.
  struct Inputs {
    size_t group;                    // number in ModelPart::groups; these come one after the other
    std::span<const size_t> tokens;  // their numbers in all sequences, growing
    MatrixView<const float> rows;    // [tokens.size(), in]
  };
  using Visit = std::function<void(const Inputs& inputs)>;

  // `weights` and `sequences` must outlive this. Scratch files go to `folder`.
  Prefix(const TensorFile& weights, const ModelConfig& config, std::span<const std::vector<TokenId>> sequences,
         const std::filesystem::path& folder);

  size_t tokens() const { return tokens_; }
  // Runs the part after the last one that was run, the first one to begin with. Reads the weights of that last part
  // from the file, so they must be coded by now.
  void run(const ModelPart& part, const Visit& visit);
  // Goes on as if `part`, the first one of a layer, had been run with the states that another Prefix of the same
  // sequences has there.
  void restart(const ModelPart& part, const Prefix& other);

 private:
  struct Chunk {
    size_t row, rows;  // of tokens
    std::vector<Segment> segments;
  };
  void embed();
  void begin_layer(size_t layer);
  void run_head(const Visit& visit);
  // Adds the output of `linear` for its inputs [tokens, in] to the residual stream, which encoders then normalise.
  void add_output(const Linear& linear, MatrixView<const float> inputs, const NormWeights& norm);
  void add_attention();
  void add_mlp();
  // Input of the attention or the MLP: norm(x) in `buffer`, or x itself in encoders, which normalise after adding.
  MatrixView<const float> normed(const NormWeights& norm, MatrixView<float> x, MatrixView<float> buffer) const;
  std::span<const size_t> tokens_of(const Chunk& c) const { return std::span(numbers_).subspan(c.row, c.rows); }
  // left := the inputs of `down`.
  void activate_to(const Mlp& mlp, MatrixView<const float> inputs, MatrixView<float> left);
  // Chooses the experts of all tokens of a chunk.
  Routes route(MatrixView<const float> normed) const;
  // For every chunk with tokens for this expert: body(chunk, those tokens, row of the first one in left_). `row` is
  // advanced by the number of tokens.
  using ExpertChunk = std::function<void(const Chunk& chunk, std::span<const Routed> routed, size_t row)>;
  void for_chunks_of(size_t expert, size_t* row, const ExpertChunk& body) const;
  // Parts kGateUp and kDown of a mixture of experts, one expert after the other.
  void run_experts(bool of_down, const Visit& visit);
  void load(std::initializer_list<Linear*> linears);
  Matrix<float> buffer() const;

  const TensorFile& file_;
  ModelConfig config_;
  ModelConfig layer_config_;  // with the attention window of the current layer
  std::span<const std::vector<TokenId>> sequences_;
  std::filesystem::path folder_;
  WeightLoader loader_;
  size_t tokens_ = 0, most_rows_ = 0;
  std::vector<PlainKvCache> caches_;  // of one layer; all chunks use the same ones
  std::vector<Chunk> chunks_;
  std::vector<size_t> numbers_;  // 0, 1, ... of all tokens
  std::vector<Routes> routes_;   // of the current layer, by chunk; token numbers are relative to the chunk
  ScratchMatrix x_;              // residual stream
  ScratchMatrix mixed_;          // inputs of the attention output
  ScratchMatrix left_;           // inputs of `down`, expert after expert
  Layer layer_;
  std::optional<BlockBuffers> buffers_;
  Rope rope_;
  TransformerOptions options_;
};

}  // namespace occ
