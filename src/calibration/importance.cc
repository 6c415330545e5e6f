#include "calibration/importance.h"

#include <algorithm>
#include <cmath>

#include "base/cache.h"
#include "base/file.h"
#include "base/hash.h"
#include "calibration/moment_sum.h"
#include "calibration/row_factor.h"

namespace occ {
namespace {

constexpr double kLeastWeight = 0.01;  // least importance of a row, relative to the mean of all rows
// Share of the layer's mean that is added to the importance of an expert, because other texts may use other experts.
constexpr double kOfOtherExperts = 1;
// The importance of the rows of an embedding table is raised to the power kTablePower (the mean stays the same),
// because how often a word occurs differs most between texts. Then it is multiplied by kTableFactor, because later
// layers make up for their own errors but not for those of the table: coding the table alone cost twice the KL that the
// second-order loss predicts. Both values were measured (docs/explanation/calibration.md, "Where the loss is").
constexpr double kTablePower = 0.65, kTableFactor = 1.5;

// Damping of the correlations between the gradients of rows, which are estimated from `tokens` tokens. Measured on
// SmolLM2 (8,192 and 16,384 tokens, 192 to 576 rows, gradients of other texts): .1 to 1 are best for queries and keys,
// .3 to 1 for the other tensors.
double row_damping(size_t rows, size_t tokens) {
  return 0.3 + 2 * static_cast<double>(std::min(rows, kRowBlock)) / static_cast<double>(tokens);
}

std::vector<float> mean_one(std::vector<float> values) {
  double sum = 0;
  for (const float v : values) sum += double{v};
  if (!(sum > 0) || !std::isfinite(sum)) return {};
  for (float& v : values) v = static_cast<float>(double{v} * static_cast<double>(values.size()) / sum);
  return values;
}

}  // namespace

Importance::Importance(const TensorFile& source, const ModelConfig& config, const std::vector<ModelPart>& parts,
                       std::span<const std::vector<TokenId>> sequences, const std::filesystem::path& folder,
                       ImportanceSettings settings)
    : source_(source), config_(config), parts_(parts), folder_(folder), settings_(std::move(settings)) {
  for (const ModelPart& part : parts_) {
    if (config_.transposed_weights || !part.has_separate_projections()) continue;
    const std::vector<std::string>& qkv = part.groups[0];
    // Later tokens attend to some tokens far more than to others. This decides how much the keys and values of a token
    // matter.
    by_token_.insert({qkv[1], qkv[2]});
    // The queries of a head meet the same few keys, so the errors of their rows add up. Tensors that write to the
    // residual stream would gain a little as well, but whole models did not become better.
    by_row_.insert({qkv[0], qkv[1]});
  }
  sequences_ = sequences.size();
  fisher_ = cached_gradients(sequences);
  weigh_linear_layers();
  weigh_rare_experts();
  weigh_tables();
}

// Later runs with the same model and sequences, for example at another rate, use the cached result.
Fisher Importance::cached_gradients(std::span<const std::vector<TokenId>> sequences) const {
  if (!settings_.cache) return measure_gradients(sequences);
  std::error_code ec;
  const std::filesystem::path path = std::filesystem::weakly_canonical(source_.path(), ec);
  uint64_t key = hash64(fmt::format("importance 2\n{}\n{}", path.string(), describe_files(path)));
  for (const auto& s : sequences) key = key * 31 + hash64(s.data(), s.size() * sizeof(TokenId));
  const std::string name = fmt::format("importance-{}", hash_hex(key));
  const std::optional<Bytes> cached = read_cache(name);
  if (std::optional<Fisher> known = cached ? unpack_fisher(*cached) : std::nullopt) return std::move(*known);
  Fisher measured = measure_gradients(sequences);
  write_cache(name, pack_fisher(measured));
  return measured;
}

Fisher Importance::measure_gradients(std::span<const std::vector<TokenId>> sequences) const {
  GradientModel model(source_, folder_, false);
  FisherOptions options;
  options.moments = false;
  options.token_energies = by_token_;
  options.correlations = by_row_;
  std::set<std::string> seen;
  size_t total = 0;
  for (const ModelPart& part : parts_) total += part.tensors().size();
  options.seen = [&](const std::string& tensor) {
    if (seen.insert(tensor).second && settings_.progress) settings_.progress(std::min(seen.size(), total), total);
  };
  return measure_fisher(model, sequences, options);
}

Shape Importance::shape_of(const std::string& tensor) const {
  return matrix_shape(source_.tensors()[source_.find(tensor)].shape);
}

void Importance::weigh_linear_layers() {
  const std::string head = config_.encoder ? "" : parts_.back().groups[0][0];
  for (const auto& [tensor, fisher] : fisher_.linear) {
    // If W^T is stored, the rows of the tensor are inputs, not outputs.
    if (config_.transposed_weights && tensor != head) continue;
    std::vector<double> rows = fisher.rows;
    for (double& w : rows) w *= fisher.input_energy;
    const Shape shape = shape_of(tensor);
    if (rows.size() != shape.rows) continue;
    weigh(tensor, std::move(rows), shape.cols);
    const auto known = rows_.find(tensor);
    if (known == rows_.end()) continue;
    if (fisher.correlations.size() == correlation_count(shape.rows)) feed_rows(fisher, known->second);
    if (fisher.token_energy.size() == fisher_.tokens) token_weights_[tensor] = mean_one(fisher.token_energy);
  }
}

// `rows` [rows]: twice the expected loss if every element of the row had a squared error of 1 and the inputs were
// white.
void Importance::weigh(const std::string& tensor, std::vector<double> rows, size_t cols) {
  double mean = 0;
  for (const double w : rows) mean += w / static_cast<double>(rows.size());
  if (!(mean > 0) || !std::isfinite(mean)) return;
  if (fisher_.embeddings.contains(tensor)) {
    double sum = 0;
    for (double& w : rows) sum += w = std::pow(w / mean, kTablePower);
    for (double& w : rows) w *= mean * kTableFactor / sum * static_cast<double>(rows.size());
    mean *= kTableFactor;
  }
  const bool table = fisher_.embeddings.contains(tensor);
  // Each sequence gives one sample of the gradients of the weights. With few samples the noise is multiplicative; the
  // power moves the importances towards their mean.
  const double power = table ? 1 : 1 - 1 / (1 + std::pow(static_cast<double>(sequences_), 2));
  double sum = 0;
  for (double& w : rows) sum += w = std::pow(w / mean, power);
  const double least = table ? settings_.least_table_row : kLeastWeight;
  for (double& w : rows) w = (w / sum * static_cast<double>(rows.size()) + least) / (1 + least);
  Rows& to = rows_[tensor];
  to.alone = to.fed =
      std::make_shared<RowImportance>(RowImportance{std::move(rows), mean / static_cast<double>(cols) / 2, {}});
}

// Computes the importance of the errors that remain when the errors of a row are fed into the rows after it
// (row_factor.h).
void Importance::feed_rows(const TensorFisher& fisher, Rows& to) const {
  const size_t n = to.alone->weights.size();
  RowFactor factor = factor_rows(fisher.correlations, n, row_damping(n, fisher_.tokens));
  RowImportance fed = *to.alone;
  double mean = 0;
  for (size_t r = 0; r < n; ++r) mean += (fed.weights[r] *= factor.weights[r]) / static_cast<double>(n);
  for (double& w : fed.weights) w /= mean;
  fed.loss *= mean;
  to.gains = ScratchMatrix(folder_, n, factor.gains.cols());
  for (size_t s = 0; s < n; ++s) {
    const size_t first = s - s % kRowBlock, last = std::min(n, first + kRowBlock);
    for (size_t r = s + 1; r < last; ++r) {
      const double scale = std::sqrt(to.alone->weights[s] / to.alone->weights[r]);
      to.gains.view()(s, r - first) = static_cast<float>(scale * double{factor.gains(s, r - first)});
    }
  }
  fed.gains = std::as_const(to.gains).view();
  to.fed = std::make_shared<RowImportance>(std::move(fed));
}

// An expert that got hardly any tokens still matters: the mean of its layer's experts makes up half of the importance
// of every expert.
void Importance::weigh_rare_experts() {
  for (const ModelPart& part : parts_) {
    const size_t experts = part.groups.size();
    if (experts == 1) continue;
    for (size_t k = 0; k < part.groups[0].size(); ++k) {
      double mean = 0;
      for (const std::vector<std::string>& expert : part.groups) {
        const auto known = rows_.find(expert[k]);
        if (known != rows_.end()) mean += known->second.alone->loss / static_cast<double>(experts);
      }
      for (size_t e = 0; e < experts && mean > 0; ++e) {
        const std::string& tensor = part.groups[e][k];
        Rows& to = rows_[tensor];
        RowImportance rows;
        if (to.alone) {
          rows = *to.alone;
        } else {
          rows.weights.assign(shape_of(tensor).rows, 1.0);
        }
        rows.loss = (rows.loss + kOfOtherExperts * mean) / (1 + kOfOtherExperts);
        to.alone = to.fed = std::make_shared<RowImportance>(std::move(rows));
      }
    }
  }
}

// A tied table is weighed later, when the second moments of the head's inputs are known (join_uses).
void Importance::weigh_tables() {
  for (const auto& [tensor, fisher] : fisher_.embeddings) {
    tables_.push_back(tensor);
    if (!is_tied(tensor)) weigh(tensor, lookup_costs(tensor), shape_of(tensor).cols);
  }
}

// Returns the cost of an error in each row of an embedding table when that row is looked up. A few sequences use few of
// the rows, so only the total is taken from the gradients. It is shared among the rows: one half by how often the token
// occurs in the whole text, the other half by its probability in the model's predictions. Encoders make no predictions:
// nine tenths are shared by occurrence and the rest evenly.
std::vector<double> Importance::lookup_costs(const std::string& tensor) const {
  const std::vector<double>& measured = fisher_.embeddings.at(tensor).rows;
  const size_t rows = shape_of(tensor).rows;
  std::vector<double> cost(rows);
  if (rows != config_.vocab_size) {  // a table of positions
    std::copy_n(measured.begin(), std::min(rows, measured.size()), cost.begin());
    return cost;
  }
  double total = 0, tokens = 0, expected = 0, once = 0;
  for (const double g : measured) total += g;
  for (size_t v = 0; v < rows; ++v) {
    cost[v] = v < settings_.token_counts.size() ? static_cast<double>(settings_.token_counts[v]) : 0;
    tokens += cost[v];
    once += cost[v] == 1 ? 1 : 0;
  }
  if (!(tokens > 0)) return std::vector<double>(rows, total / static_cast<double>(rows));
  // The share of tokens that occur once in this text estimates the share of tokens in other texts that do not occur in
  // this one (Good 1953). That share is spread evenly over all rows.
  const double unseen = once / tokens;
  for (double& c : cost) c = (1 - unseen) * c + unseen * tokens / static_cast<double>(rows);
  std::vector<double> likely(rows, 1.0);  // encoders do not predict tokens
  if (!config_.encoder) likely = fisher_.linear.at(parts_.back().groups[0][0]).rows;
  for (const double p : likely) expected += p;
  const double counted = config_.encoder ? 0.9 : 0.5;
  for (size_t v = 0; v < rows; ++v) {
    cost[v] = total * (counted * cost[v] / tokens + (1 - counted) * likely[v] / expected);
  }
  return cost;
}

bool Importance::is_tied(const std::string& tensor) const {
  return fisher_.embeddings.contains(tensor) && fisher_.linear.contains(tensor);
}

// An error e of row v costs G_v e H e^T as part of the head and lookup_costs()[v] |e|^2 / cols when it is looked up.
// The table is coded with the sum of both kinds of costs over all rows, so it has one matrix for all rows.
void Importance::join_uses(const std::string& tensor, MatrixView<double> h) {
  const TensorFisher& head = fisher_.linear.at(tensor);
  const size_t n = h.rows();
  const double energy = mean_diagonal(h) * static_cast<double>(n);
  std::vector<double> weights = lookup_costs(tensor);
  double of_head = 0, of_lookups = 0;
  for (size_t v = 0; v < weights.size(); ++v) {
    of_lookups += weights[v];
    of_head += head.rows[v] * energy;
    weights[v] += head.rows[v] * energy;
  }
  const double total = of_head + of_lookups;
  // In a lookup all columns have the same weight.
  for (size_t r = 0; r < n && total > 0; ++r) {
    for (size_t c = 0; c < n; ++c) h(r, c) *= of_head / total;
    h(r, r) += of_lookups / total * energy / static_cast<double>(n);
  }
  weigh(tensor, std::move(weights), n);
}

bool Importance::find(const std::string& tensor, TensorCalibration* out) const {
  const auto known = rows_.find(tensor);
  if (known == rows_.end()) return false;
  out->rows = known->second.alone;
  out->fed_rows = known->second.fed;
  return true;
}

const std::vector<float>& Importance::token_weights(const std::string& tensor) const {
  static const std::vector<float> none;
  const auto known = token_weights_.find(tensor);
  return known == token_weights_.end() ? none : known->second;
}

}  // namespace occ
