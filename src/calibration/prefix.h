// Inputs of the linear layers of a model, stage after stage, for all sequences of a calibration text at once: every
// layer is run for all tokens before the next one, so that memory holds the weights of one layer, and activations lie
// in scratch files.
//
// A layer has four stages whose linear layers share their inputs: q, k, v | attention output | gate, up | down (with
// experts every one of them has its own tokens, and for down its own inputs; routers are read, not calibrated). The
// inputs of a stage need the weights of the stages before it only, so tensors can be coded in between (as in GPTQ,
// arXiv 2210.17323, but stage by stage): what is coded next sees what was lost so far.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

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
  static constexpr size_t kStages = 4;
  // Inputs [tokens.size(), in] of the linear layers of a group of the current stage, panel after panel.
  struct Inputs {
    size_t group;
    std::span<const size_t> tokens;  // numbers of the rows, growing
    MatrixView<const float> rows;
  };
  using Visit = std::function<void(const Inputs& inputs)>;

  // `weights` and `sequences` must outlive this. Scratch files go to `folder`.
  Prefix(const TensorFile& weights, const ModelConfig& config, std::span<const std::vector<TokenId>> sequences,
         const std::filesystem::path& folder);

  size_t layers() const { return config_.layers; }
  size_t tokens() const { return tokens_; }
  // Names of the weights whose inputs stage `s` gives, those with the same inputs in one group: one, or one per expert;
  // s = layers() * kStages: the head (none if it is an encoder).
  std::vector<std::vector<std::string>> groups(size_t s);
  size_t stages() const { return config_.layers * kStages + (config_.encoder ? 0 : 1); }
  // Runs stage s, the one after the last run: takes the weights of the stage before it from the file.
  void run(size_t s, const Visit& visit);

 private:
  struct Chunk {
    size_t row, rows;  // of tokens
    std::vector<Segment> segments;
  };
  void embed();
  void begin_layer(size_t layer);
  // Adds what `linear` makes of its inputs [tokens, in] to the residual stream; `norm`: of encoders, after that.
  void add_output(const Linear& linear, MatrixView<const float> inputs, const NormWeights& norm);
  void add_attention();
  void add_mlp();
  // Input of the attention or the MLP of a chunk, in `buffer`, or the residual stream itself.
  MatrixView<const float> normed(const NormWeights& norm, MatrixView<float> x, MatrixView<float> buffer) const;
  std::span<const size_t> tokens_of(const Chunk& c) const { return std::span(numbers_).subspan(c.row, c.rows); }
  // The inputs of down.
  void activate_to(const Mlp& mlp, MatrixView<const float> inputs, MatrixView<float> left);
  // Chooses the experts of all tokens of a chunk.
  Routes route(MatrixView<const float> normed) const;
  // Experts one after the other: body(chunk, its tokens with that expert, first row of them in left_).
  using ExpertChunk = std::function<void(const Chunk& chunk, std::span<const Routed> routed, size_t row)>;
  void for_chunks_of(size_t expert, size_t* row, const ExpertChunk& body) const;
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
  std::vector<PlainKvCache> caches_;  // one layer; chunks share them
  std::vector<Chunk> chunks_;
  std::vector<size_t> numbers_;  // 0, 1, ... of all tokens
  std::vector<Routes> routes_;   // by chunk, of the current layer; tokens count from the chunk's first
  // Residual stream; inputs of the attention output and of down, the latter expert after expert.
  ScratchMatrix x_, mixed_, left_;
  Layer layer_;
  std::optional<BlockBuffers> buffers_;
  Rope rope_;
  TransformerOptions options_;
};

}  // namespace occ
