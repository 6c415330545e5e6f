// Importance: how much an error in each row of each tensor costs the model (fisher.h), measured once on the original
// model. What a few sequences cannot tell is estimated: tokens that do not occur, experts that get hardly any tokens.
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
  bool cache = false;  // whether gradients are kept for other runs (base/cache.h)
  // [vocabulary] How often each token occurs in the whole calibration text; may be empty.
  std::vector<uint64_t> token_counts;
  // The least importance of a row of an embedding table, relative to the mean over its rows. It should be larger for a
  // text that may lack many tokens.
  double least_table_row = 0.01;
  std::function<void(size_t tensors, size_t total)> progress;
};

class Importance {
 public:
  // Runs `sequences` forward and backward through the model, unless the cache has the result. All arguments except the
  // settings must outlive this object. Scratch files go to `folder`.
  Importance(const TensorFile& source, const ModelConfig& config, const std::vector<ModelPart>& parts,
             std::span<const std::vector<TokenId>> sequences, const std::filesystem::path& folder,
             ImportanceSettings settings);

  // Sets out->rows and out->fed_rows if the importance of the tensor is known. Returns whether it is.
  bool find(const std::string& tensor, TensorCalibration* out) const;
  // Returns a weight for each token of the sequences, with mean 1, for the second moments of this tensor's inputs. It
  // is proportional to the energy of the gradient of the tensor's outputs at that token. Empty if all tokens have the
  // same weight.
  const std::vector<float>& token_weights(const std::string& tensor) const;
  // Names of the embedding tables (tokens and positions).
  const std::vector<std::string>& tables() const { return tables_; }
  // Whether the tensor is both the embedding table and the head.
  bool is_tied(const std::string& tensor) const;
  // Only for a tied table. `h` has the second moments of the head's inputs; it is replaced by a matrix that describes
  // both uses of the table. Sets the importance of its rows accordingly.
  void join_uses(const std::string& tensor, MatrixView<double> h);

 private:
  // The importance of the rows of one tensor: as such, and with error feedback between rows.
  struct Rows {
    std::shared_ptr<const RowImportance> alone, fed;
    ScratchMatrix gains;  // the memory of fed->gains
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
  std::set<std::string> by_token_, by_row_;  // names of tensors whose token energies and row correlations are measured
  size_t sequences_ = 0;                     // number of sequences the gradients are measured on
  Fisher fisher_;
  std::map<std::string, Rows> rows_;
  std::map<std::string, std::vector<float>> token_weights_;
  std::vector<std::string> tables_;
};

}  // namespace occ
