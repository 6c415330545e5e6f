// Importance: what an error of each row of each tensor costs the model (fisher.h), measured once on the original model.
// What so few sequences cannot tell is filled in: words that they lack, experts that hardly any token came by.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "calibration/fisher.h"
#include "calibration/layer_part.h"
#include "compress/calibration_source.h"
#include "tensor/scratch_matrix.h"

namespace occ {

struct ImportanceSettings {
  bool cache = false;                  // gradients are kept for other runs (base/cache.h)
  std::vector<uint64_t> token_counts;  // of the whole calibration text, by token; may be empty
  // The least importance of a row of a table, relative to the mean. More for a text that may lack many tokens.
  double least_table_row = 0.01;
  std::function<void(size_t tensors, size_t total)> progress;
};

class Importance {
 public:
  // Runs `sequences` forward and backward through the model, unless the cache has the result. All arguments but the
  // settings must outlive this; scratch files go to `folder`.
  Importance(const TensorFile& source, const ModelConfig& config, const std::vector<ModelPart>& parts,
             std::span<const std::vector<TokenId>> sequences, const std::filesystem::path& folder,
             ImportanceSettings settings);

  // Sets rows and fed_rows of `out` if the tensor's importance is known.
  bool find(const std::string& tensor, TensorCalibration* out) const;
  // Weights, mean 1, with which the tokens of the sequences count in the moments of the inputs of this tensor: by the
  // energy of the gradient of its outputs. Empty: all tokens count alike.
  const std::vector<float>& token_weights(const std::string& tensor) const;
  // Names of the tables that rows are looked up in (embeddings of words and of positions).
  const std::vector<std::string>& tables() const { return tables_; }
  // Whether one table is both looked up in and multiplied with as the head.
  bool is_tied(const std::string& tensor) const;
  // Of a tied table: makes `h`, the second moments of the head's inputs, those that both uses together imply, and sets
  // the importance of its rows accordingly.
  void join_uses(const std::string& tensor, MatrixView<double> h);

 private:
  // Costs that the errors of one tensor's rows have.
  struct Rows {
    std::shared_ptr<const RowImportance> alone, fed;
    ScratchMatrix gains;  // of `fed`
  };
  Fisher measure_gradients(std::span<const std::vector<TokenId>> sequences) const;
  Fisher cached_gradients(std::span<const std::vector<TokenId>> sequences) const;
  void weigh_linear_layers();
  void weigh(const std::string& tensor, std::vector<double> rows, size_t cols);
  void feed_rows(const TensorFisher& fisher, Rows& to) const;
  void weigh_rare_experts();
  void weigh_tables();
  std::vector<double> lookup_costs(const std::string& tensor) const;
  Shape shape_of(const std::string& tensor) const;

  const TensorFile& source_;
  const ModelConfig& config_;
  const std::vector<ModelPart>& parts_;
  const std::filesystem::path& folder_;
  const ImportanceSettings settings_;
  std::set<std::string> by_token_, by_row_;  // tensors whose token energies and row correlations are measured
  size_t sequences_ = 0;                     // that the gradients are measured on
  Fisher fisher_;
  std::map<std::string, Rows> rows_;
  std::map<std::string, std::vector<float>> token_weights_;
  std::vector<std::string> tables_;
};

}  // namespace occ
