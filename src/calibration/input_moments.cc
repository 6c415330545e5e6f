#include "calibration/input_moments.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "linalg/linalg.h"
#include "metrics/limits.h"

namespace occ {
namespace {

// Half of a token's weight in the second moments of keys and values comes from the energy of the gradients at that
// token; the other half is the same for all tokens. Shares from .25 to .75 gave about the same result.
constexpr double kGradientShare = 0.5;

}  // namespace

struct InputMoments::Group {
  size_t part = 0, inputs = 0;  // index of the part in parts_, and of the inputs in ModelPart::groups
  size_t width = 0;
  std::vector<std::string> tensors;
  // Weights of the tokens of the planned sequences, with mean 1. Empty: all tokens have the same weight.
  std::vector<float> token_weights;
  ScratchMatrix h, correction;
  std::unique_ptr<std::mutex> mutex = std::make_unique<std::mutex>();
  mutable std::weak_ptr<const Moments> moments;  // exists while the moments are in use
  mutable std::vector<uint8_t> profile;
  std::string note;
};

InputMoments::InputMoments(const TensorFile& source, const ModelConfig& config, const std::vector<ModelPart>& parts,
                           std::span<const std::vector<TokenId>> sequences, const std::filesystem::path& folder,
                           SuffixTuning* tuning)
    : source_(source), config_(config), parts_(parts), sequences_(sequences), folder_(folder), tuning_(tuning) {
  make_groups();
}

InputMoments::~InputMoments() = default;

void InputMoments::make_groups() {
  groups_of_.resize(parts_.size());
  for (size_t p = 0; p < parts_.size(); ++p) {
    const ModelPart& part = parts_[p];
    // If W^T is stored, the columns of the tensor are outputs, and second moments of the inputs cannot be used.
    if (config_.transposed_weights && part.part != LayerPart::kHead) continue;
    for (size_t g = 0; g < part.groups.size(); ++g) {
      for (size_t i = 0; i < part.groups[g].size(); ++i) {
        const std::string& tensor = part.groups[g][i];
        // Queries, keys and values weight the tokens differently, so each gets its own moments.
        if (i == 0 || part.has_separate_projections()) {
          groups_of_[p].push_back(groups_.size());
          Group& group = groups_.emplace_back();
          group.part = p;
          group.inputs = g;
          group.width = matrix_shape(source_.tensors()[source_.find(tensor)].shape).cols;
        }
        groups_.back().tensors.push_back(tensor);
        group_of_tensor_.emplace(tensor, groups_.size() - 1);
      }
    }
  }
}

// Returns the square roots of the weights of all tokens, or only of the tokens of the planned sequences. Other tokens
// get only the constant half of the weight. Empty: all tokens have the same weight.
std::vector<float> InputMoments::token_roots(const Group& group, bool planned_only) const {
  if (group.token_weights.empty()) return {};
  std::vector<float> out;
  size_t next = 0, total = 0;
  for (const std::vector<TokenId>& s : sequences_) total += s.size();
  const double share = static_cast<double>(planned_only ? group.token_weights.size() : total) /
                       static_cast<double>(group.token_weights.size());
  for (size_t i = 0; i < sequences_.size(); ++i) {
    const bool planned = std::binary_search(planned_.begin(), planned_.end(), i);
    if (planned_only && !planned) continue;
    for (size_t t = 0; t < sequences_[i].size(); ++t) {
      const double measured = planned ? share * double{group.token_weights[next++]} : 0;
      out.push_back(static_cast<float>(std::sqrt(1 - kGradientShare + kGradientShare * measured)));
    }
  }
  return out;
}

// Runs a part and passes the mean second moments of each of its groups to `finish`. Only groups with the same inputs
// are in memory at the same time.
void InputMoments::sum_moments(Prefix& prefix, size_t part, bool planned_only, bool crossed,
                               const std::function<void(Group&, MomentSum)>& finish) {
  const std::vector<size_t>& of_part = groups_of_[part];
  size_t begin = 0;  // index of the first group with the current inputs
  std::vector<MomentSum> sums;
  const auto open = [&] {
    sums.clear();
    for (size_t i = begin; i < of_part.size() && groups_[of_part[i]].inputs == groups_[of_part[begin]].inputs; ++i) {
      const Group& group = groups_[of_part[i]];
      sums.emplace_back(group.width, token_roots(group, planned_only), crossed);
    }
  };
  const auto close = [&] {
    for (size_t i = 0; i < sums.size(); ++i) {
      sums[i].average();
      finish(groups_[of_part[begin + i]], std::move(sums[i]));
    }
    begin += sums.size();
    open();
  };
  open();
  prefix.run(parts_[part], [&](const Prefix::Inputs& in) {
    while (begin < of_part.size() && groups_[of_part[begin]].inputs < in.group) close();
    for (MomentSum& sum : sums) sum.add(in.tokens, std::as_const(original_inputs_).view(), in.rows);
  });
  while (begin < of_part.size()) close();
}

void InputMoments::plan(Importance& importance, std::span<const size_t> planned,
                        const std::function<void(size_t parts, size_t total)>& progress) {
  planned_.assign(planned.begin(), planned.end());
  for (Group& group : groups_) group.token_weights = importance.token_weights(group.tensors[0]);
  std::vector<std::vector<TokenId>> sequences;
  for (const size_t i : planned_) sequences.push_back(sequences_[i]);
  Prefix prefix(source_, config_, sequences, folder_);
  for (size_t p = 0; p < parts_.size(); ++p) {
    sum_moments(prefix, p, true, false, [&](Group& group, MomentSum sum) {
      add_white(sum.tokens, sum.h.view());
      if (importance.is_tied(group.tensors[0])) importance.join_uses(group.tensors[0], sum.h.view());
      store(group, sum.h.view(), {});
    });
    if (progress) progress(p + 1, parts_.size());
  }
}

void InputMoments::reach(const std::string& tensor, const TensorFile& coded) {
  const auto at = group_of_tensor_.find(tensor);
  if (at == group_of_tensor_.end()) return;
  const size_t part = groups_[at->second].part;
  // A tied head is coded before all other tensors, with the second moments of the original model.
  if (config_.tied_embeddings && parts_[part].part == LayerPart::kHead) return;
  if (!compressed_) {
    compressed_.emplace(coded, config_, sequences_, folder_);
    original_.emplace(tuning_ != nullptr ? tuning_->tuned() : source_, config_, sequences_, folder_);
    coded_ = &coded;
    size_t widest = 0;
    for (const Group& group : groups_) widest = std::max(widest, group.width);
    original_inputs_ = ScratchMatrix(folder_, compressed_->tokens(), widest);
  }
  while (next_ <= part) run_part(next_++);
}

void InputMoments::run_part(size_t p) {
  const ModelPart& part = parts_[p];
  const bool experts = part.of_experts(config_);
  // The original inputs of the `down` projection of an expert are known only for the tokens that the original model
  // sent to this expert. In the compressed model it may get other tokens, so there are no cross moments.
  bool crossed = !experts || part.part != LayerPart::kDown;
  // Weights that were just tuned to the current inputs of this layer already make up for earlier errors. Nothing is
  // left to correct, and the original inputs are replaced by the current ones.
  const bool anew = tuning_ != nullptr && part.part == LayerPart::kQueryKeyValue && tuning_->reach(part.layer, *coded_);
  crossed &= !anew;
  if (!anew)
    original_->run(part, [&](const Prefix::Inputs& in) {
      for (size_t r = 0; r < in.rows.rows() && crossed; ++r) {
        std::copy_n(in.rows.row(r), in.rows.cols(), original_inputs_.view().row(in.tokens[r]));
      }
    });
  sum_moments(*compressed_, p, false, crossed, [&](Group& group, MomentSum sum) {
    Matrix<float> correction;
    if (crossed && sum.tokens != 0) {
      // Half of the token weights is measured on the planned sequences alone, so only their tokens are counted.
      const size_t tokens = group.token_weights.empty() ? sum.tokens : group.token_weights.size();
      correction = correction_of(sum.cross.view(), sum.h.view(), tokens);
      if (correction.size() == 0) {
        notes_.push_back(fmt::format(
            "{}: the second moments of its inputs cannot be inverted, what was lost before is not corrected",
            fmt::join(group.tensors, ", ")));
      }
    }
    add_white(sum.tokens, sum.h.view());
    if (experts && sum.tokens < group.width) {
      ++rare_;
      group.note = fmt::format(
          "{} tokens of the calibration text came by, fewer than inputs: coded nearly as if those were white",
          sum.tokens);
    }
    store(group, sum.h.view(), correction.view());
  });
  if (anew) original_->restart(part, *compressed_);
  original_inputs_.release();
}

void InputMoments::store(Group& group, MatrixView<const double> h, MatrixView<const float> correction) {
  const std::lock_guard lock(*group.mutex);
  const double mean = mean_diagonal(h);
  if (!std::isfinite(mean)) {
    throw_input("{}: tensor '{}': expected finite inputs, found NaN or Inf, which weights before it must make",
                source_.path(), group.tensors[0]);
  }
  // The moments are stored as floats, divided by a power of two near their mean.
  const double scale = mean > 0 ? std::exp2(std::floor(std::log2(mean))) : 1;
  if (group.h.rows() != h.rows()) group.h = ScratchMatrix(folder_, h.rows(), h.cols());
  for (size_t r = 0; r < h.rows(); ++r) {
    for (size_t c = 0; c < h.cols(); ++c) group.h.view()(r, c) = static_cast<float>(h(r, c) / scale);
  }
  if (correction.size() != 0) {
    group.correction = ScratchMatrix(folder_, h.rows(), h.cols());
    std::copy_n(correction.data(), correction.size(), group.correction.view().data());
  }
  group.moments.reset();
  group.profile.clear();
}

bool InputMoments::find(const std::string& tensor, TensorCalibration* out) const {
  const auto at = group_of_tensor_.find(tensor);
  if (at == group_of_tensor_.end()) return false;
  const Group& group = groups_[at->second];
  const std::lock_guard lock(*group.mutex);
  const size_t n = group.width;
  out->note = group.note;
  if (group.correction.rows() != 0) {
    auto correction = std::make_shared<Matrix<float>>(Matrix<float>::uninitialized(n, n));
    std::copy_n(group.correction.view().data(), n * n, correction->data());
    out->correction = std::move(correction);
  }
  out->moments = group.moments.lock();
  if (out->moments) return true;
  auto moments = std::make_shared<Moments>();
  moments->h = Matrix<double>::uninitialized(n, n);
  std::copy_n(group.h.view().data(), n * n, moments->h.data());
  if (group.profile.empty()) {
    Matrix<double> work = moments->h.clone();
    std::vector<double> values(n);
    eigenvalues(work.view(), values);
    group.profile = eigenvalue_profile(values);
  }
  moments->profile = group.profile;
  out->moments = moments;
  group.moments = moments;
  return true;
}

void InputMoments::release() {
  original_.reset();
  compressed_.reset();
  original_inputs_ = ScratchMatrix();
}

std::vector<std::string> InputMoments::notes() const {
  std::vector<std::string> out = notes_;
  if (rare_ == 0) return out;
  out.push_back(
      fmt::format("{} times an expert saw fewer tokens than it has inputs and was coded nearly as if those were white "
                  "(see the tensors)",
                  rare_));
  return out;
}

}  // namespace occ
