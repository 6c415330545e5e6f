#include "calibration/reference.h"

#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "calibration/backward_kernels.h"
#include "model/sampling.h"
#include "model/transformer.h"

namespace occ {
size_t tokens_of(const Sequences& sequences) {
  size_t tokens = 0;
  for (const std::vector<TokenId>& s : sequences) tokens += s.size();
  return tokens;
}

ReferencePredictions::ReferencePredictions(GradientModel& model, const Sequences& sequences,
                                           const std::filesystem::path& scratch_folder)
    : model_(model), sequences_(sequences), hidden_(scratch_folder, tokens_of(sequences), model.config().dim) {
  model.hidden(sequences, hidden_.view());
}

double ReferencePredictions::loss(size_t first, MatrixView<float> logits) {
  const size_t n = logits.rows(), vocab_size = logits.cols();
  if (truth_.rows() < n) truth_ = Matrix<float>::uninitialized(n, vocab_size);
  const MatrixView<float> truth = truth_.view().row_range(0, n);
  model_.logits(hidden_.view().row_range(first, n), truth);
  std::vector<double> sums(n);
  constexpr size_t kRows = 8;
  parallel_for(ceil_div(n, kRows), [&](size_t panel) {
    std::vector<float> difference(vocab_size);
    for (size_t r = panel * kRows; r < std::min(n, (panel + 1) * kRows); ++r) {
      float *p = truth.row(r), *q = logits.row(r);
      for (size_t v = 0; v < vocab_size; ++v) difference[v] = p[v] - q[v];
      sums[r] = softmax_row(1, q, vocab_size) - softmax_row(1, p, vocab_size);
      for (size_t v = 0; v < vocab_size; ++v) {
        sums[r] += static_cast<double>(p[v]) * static_cast<double>(difference[v]);
        q[v] -= p[v];
      }
    }
  });
  double sum = 0;
  for (const double s : sums) sum += std::max(s, 0.0);  // a KL below 0 is a rounding error
  return sum;
}

double ReferencePredictions::mean_kl(GradientModel& other, const LayerInputs& start) {
  const double sum = other.evaluate(
      sequences_, [&](size_t first, MatrixView<float> logits) { return loss(first, logits); }, start);
  return sum / static_cast<double>(tokens_of(sequences_));
}

double divergence(const TensorFile& coded, const TensorFile& original, const Sequences& sequences,
                  const std::filesystem::path& scratch_folder) {
  if (!is_encoder(original)) {
    GradientModel reference(original, scratch_folder, false), model(coded, scratch_folder, false);
    return ReferencePredictions(reference, sequences, scratch_folder).mean_kl(model);
  }
  const TransformerOptions options{.arithmetic = Arithmetic::kF32, .observer = {}};
  const Matrix<float> a = load_encoder(coded, options)->embed(sequences);
  const Matrix<float> b = load_encoder(original, options)->embed(sequences);
  double sum = 0;
  for (size_t i = 0; i < a.rows(); ++i) {
    double ab = 0, aa = 0, bb = 0;
    for (size_t c = 0; c < a.cols(); ++c) {
      ab += double{a(i, c)} * double{b(i, c)};
      aa += double{a(i, c)} * double{a(i, c)};
      bb += double{b(i, c)} * double{b(i, c)};
    }
    sum += 1 - ab / std::sqrt(aa * bb);
  }
  return sum / static_cast<double>(a.rows());
}

double surprise(const TensorFile& original, const Sequences& sequences, const std::filesystem::path& scratch_folder) {
  // For each token, the one that follows it; nothing after the last token of a sequence.
  std::vector<std::optional<TokenId>> next;
  for (const std::vector<TokenId>& s : sequences) {
    next.insert(next.end(), s.begin() + (s.empty() ? 0 : 1), s.end());
    if (!s.empty()) next.emplace_back();
  }
  GradientModel model(original, scratch_folder, false);
  size_t counted = 0;
  const double sum = model.evaluate(sequences, [&](size_t first, MatrixView<float> logits) {
    double excess = 0;
    for (size_t r = 0; r < logits.rows(); ++r) {
      if (!next[first + r]) continue;
      const std::vector<float> z(logits.row(r), logits.row(r) + logits.cols());
      softmax_row(1, logits.row(r), logits.cols());
      // Because log p = z - log Z, -log p(token) - entropy = sum_v p_v z_v - z_token.
      for (size_t v = 0; v < z.size(); ++v) excess += double{logits(r, v)} * double{z[v]};
      excess -= double{z[static_cast<size_t>(*next[first + r])]};
      ++counted;
    }
    return excess;
  });
  return counted == 0 ? 0 : sum / static_cast<double>(counted);
}

Sequences sample_sequences(const TensorFile& original, Sequences beginnings, size_t length, uint64_t seed,
                           const std::function<void(size_t, size_t)>& progress) {
  constexpr size_t kAtOnce = 32;  // number of sequences that are written together
  const std::unique_ptr<Transformer> model =
      load_transformer(original, {.arithmetic = Arithmetic::kF32, .observer = {}});
  const size_t vocab_size = model->config().vocab_size, total = beginnings.size();
  for (size_t begin = 0; begin < total; begin += kAtOnce) {
    if (progress) progress(begin, total);
    const std::span some = std::span(beginnings).subspan(begin, std::min(kAtOnce, total - begin));
    std::vector<std::unique_ptr<KvCache>> caches;
    std::vector<Sampler> samplers;
    for (size_t i = 0; i < some.size(); ++i) {
      caches.push_back(model->make_cache(length));
      samplers.emplace_back(SamplingOptions{.temperature = 1, .top_k = 0, .top_p = 1, .seed = seed + begin + i});
    }
    Matrix<float> logits = Matrix<float>::uninitialized(some.size(), vocab_size);
    for (size_t at = 1; at < length; ++at) {
      std::vector<Sequence> last;
      for (size_t i = 0; i < some.size(); ++i) last.push_back({std::span(some[i]).subspan(at - 1, 1), caches[i].get()});
      model->logits(model->hidden(last).view(), logits.view());
      for (size_t i = 0; i < some.size(); ++i) {
        if (some[i].size() == at) some[i].push_back(samplers[i].next({logits.row(i), vocab_size}));
      }
    }
  }
  if (progress) progress(total, total);
  return beginnings;
}

}  // namespace occ
