#include "calibration/fisher.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "calibration/backward_kernels.h"
#include "calibration/moment_sum.h"
#include "linalg/linalg.h"

namespace occ {
namespace {

constexpr size_t kTaskOutputs = 256;  // number of outputs that one task sums

double row_energy(const float* x, size_t n) {
  double sums[8] = {};
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (size_t j = 0; j < 8; ++j) sums[j] += static_cast<double>(x[i + j] * x[i + j]);
  }
  for (; i < n; ++i) sums[0] += static_cast<double>(x[i] * x[i]);
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// Returns the sum of the squares of all elements.
double energy_of(MatrixView<const float> x) {
  constexpr size_t kRows = 64;
  std::vector<double> sums(ceil_div(x.rows(), kRows));
  parallel_for(sums.size(), [&](size_t p) {
    for (size_t r = p * kRows; r < std::min(x.rows(), (p + 1) * kRows); ++r) {
      sums[p] += row_energy(x.row(r), x.cols());
    }
  });
  double sum = 0;
  for (const double s : sums) sum += s;
  return sum;
}

// Computes TensorFisher::correlations from the sums of g g^T; `outer` has the blocks one below the other.
std::vector<int16_t> correlations_of(MatrixView<const double> outer) {
  constexpr double kUnit = 0x1p15, kMost = 0x7fff;
  std::vector<int16_t> out;
  for (size_t r = 0; r < outer.rows(); ++r) {
    const size_t first = r - r % kRowBlock;
    for (size_t s = first; s <= r; ++s) {
      const double c = outer(r, s - first) / std::sqrt(outer(r, r - first) * outer(s, s - first));
      out.push_back(std::isfinite(c) ? static_cast<int16_t>(std::clamp(std::rint(kUnit * c), -kMost, kMost)) : 0);
    }
  }
  return out;
}

// Sums gradients and inputs for the formulas of fisher.h.
class Accumulator final : public GradientObserver {
 public:
  Accumulator(std::span<const std::vector<TokenId>> sequences, const std::string& head, size_t vocab_size,
              const FisherOptions& options)
      : options_(options), head_(head), head_rows_(vocab_size) {
    for (const std::vector<TokenId>& s : sequences) {
      if (s.empty()) continue;
      begins_.push_back(scored_.size());
      for (size_t t = 0; t < s.size(); ++t) scored_.push_back(t >= options.first ? 1 : 0);
    }
    begins_.push_back(scored_.size());
  }

  // Draws random labels from the softmax of the logits and replaces the logits by the gradient of the loss.
  double loss(size_t first, MatrixView<float> logits);
  double encoder_loss(MatrixView<float> embeddings);
  void linear(const LinearGradients& g) override;
  void embedding(const std::string& tensor, std::span<const uint32_t> rows, MatrixView<const float> dx) override;
  void vector(const std::string& /*tensor*/, std::span<const float> /*gradient*/) override {}
  Fisher finish();

 private:
  struct Sums {
    // [rows] The sums that become G_r: of squared gradients, and of |d loss / d W_r|^2.
    std::vector<double> squares, exact;
    std::shared_ptr<Matrix<double>> moments;
    // [rows, at most kRowBlock] Sum of g g^T, if correlations are measured.
    Matrix<double> outer;
    std::vector<float> token_energy;  // if measured for this tensor
    double energy = 0;                // sum of the squared inputs
    size_t tokens = 0;                // number of tokens that were added
  };
  // Cuts tokens [first, first + count) at the beginnings of sequences and calls body(row, count) for each piece; `row`
  // is relative to `first`.
  template <typename F>
  void for_sequences(size_t first, size_t count, const F& body) const {
    auto next = std::upper_bound(begins_.begin(), begins_.end(), first);
    for (size_t at = first; at < first + count; ++next) {
      const size_t end = std::min(first + count, *next);
      body(at - first, end - at);
      at = end;
    }
  }
  void head_moment(MatrixView<const float> x);
  Fisher finish_embeddings(double per_scored, Fisher out);

  FisherOptions options_;
  std::string head_;
  std::vector<double> head_rows_;
  std::shared_ptr<Matrix<double>> head_moments_;
  size_t head_tokens_ = 0;
  double head_energy_ = 0;
  size_t texts_ = 0;             // number of texts of an encoder
  std::vector<size_t> begins_;   // first token of each sequence, and the number of all tokens
  std::vector<uint8_t> scored_;  // for each token: whether it is scored
  std::map<std::string, Sums> linear_, embeddings_;
  const float* last_inputs_ = nullptr;
  std::string last_tensor_;
};

double Accumulator::loss(size_t first, MatrixView<float> logits) {
  std::vector<double> losses(logits.rows());
  std::vector<size_t> labels(logits.rows());
  parallel_for(logits.rows(), [&](size_t r) {
    float* p = logits.row(r);
    if (scored_[first + r] == 0) {
      std::fill_n(p, logits.cols(), 0.0f);
      return;
    }
    softmax_row(1, p, logits.cols());
    // Takes the first label at which the cumulative probability exceeds a uniform random number. If rounding leaves it
    // below that number at the end, takes the likeliest label.
    double rest = static_cast<double>(random_word(options_.seed, first + r) >> 11) * 0x1p-53;
    size_t label = 0;
    while (label < logits.cols() && rest >= static_cast<double>(p[label])) rest -= static_cast<double>(p[label++]);
    if (label == logits.cols()) label = static_cast<size_t>(std::max_element(p, p + logits.cols()) - p);
    labels[r] = label;
    losses[r] = -std::log(static_cast<double>(p[label]));
  });
  parallel_for(ceil_div(logits.cols(), 1024), [&](size_t block) {
    const size_t end = std::min(logits.cols(), (block + 1) * 1024);
    for (size_t r = 0; r < logits.rows(); ++r) {
      for (size_t v = block * 1024; v < end; ++v) {
        head_rows_[v] += static_cast<double>(logits(r, v) * (1 - logits(r, v)));
      }
    }
  });
  double sum = 0;
  for (size_t r = 0; r < logits.rows(); ++r) {
    if (scored_[first + r] == 0) continue;
    logits(r, labels[r]) -= 1;
    sum += losses[r];
  }
  return sum;
}

double Accumulator::encoder_loss(MatrixView<float> embeddings) {
  Rng rng(options_.seed);
  const size_t n = embeddings.cols();
  texts_ = embeddings.rows();
  std::vector<double> v(n);
  for (size_t r = 0; r < texts_; ++r) {
    float* e = embeddings.row(r);
    const double length = std::sqrt(row_energy(e, n));
    double along = 0;
    for (size_t i = 0; i < n; ++i) {
      v[i] = rng.normal();
      along += v[i] * static_cast<double>(e[i]);
    }
    if (length == 0) continue;
    for (size_t i = 0; i < n; ++i) {
      e[i] = static_cast<float>((v[i] - along * static_cast<double>(e[i]) / (length * length)) / length);
    }
  }
  return 0;
}

void Accumulator::head_moment(MatrixView<const float> x) {
  Matrix<float> rows(x.rows(), x.cols());  // rows of tokens that are not scored stay 0
  for (size_t r = 0; r < x.rows(); ++r) {
    if (scored_[head_tokens_ + r] != 0) std::copy_n(x.row(r), x.cols(), rows.row(r));
  }
  head_tokens_ += x.rows();
  head_energy_ += energy_of(rows.view());
  if (!options_.moments) return;
  if (!head_moments_) head_moments_ = std::make_shared<Matrix<double>>(x.cols(), x.cols());
  add_moment(rows.view(), rows.view(), head_moments_->view());
}

void Accumulator::linear(const LinearGradients& g) {
  const std::string& tensor = g.tensor;
  const MatrixView<const float> x = g.inputs, dy = g.gradients;
  if (options_.seen) options_.seen(tensor);
  if (!head_.empty() && tensor == head_) return head_moment(x);
  Sums& sums = linear_[tensor];
  sums.squares.resize(dy.cols());
  parallel_for(ceil_div(dy.cols(), kTaskOutputs), [&](size_t block) {
    const size_t end = std::min(dy.cols(), (block + 1) * kTaskOutputs);
    for (size_t r = 0; r < dy.rows(); ++r) {
      for (size_t c = block * kTaskOutputs; c < end; ++c) sums.squares[c] += static_cast<double>(dy(r, c) * dy(r, c));
    }
  });
  if (options_.exact) {
    sums.exact.resize(dy.cols());
    parallel_for(ceil_div(dy.cols(), kTaskOutputs), [&](size_t block) {
      const size_t c = block * kTaskOutputs, cols = std::min(kTaskOutputs, dy.cols() - c);
      Matrix<float> dw = Matrix<float>::uninitialized(cols, x.cols());
      for (const auto& [row, count] : g.sequences) {
        gemm(Op::kTranspose, Op::kNone, 1.0f, dy.sub({row, c, count, cols}), x.row_range(row, count), 0.0f, dw.view());
        for (size_t r = 0; r < cols; ++r) sums.exact[c + r] += row_energy(dw.row(r), x.cols());
      }
    });
  }
  if (options_.token_energies.contains(tensor)) {
    for (size_t r = 0; r < dy.rows(); ++r) {
      sums.token_energy.push_back(static_cast<float>(row_energy(dy.row(r), dy.cols())));
    }
  }
  if (options_.correlations.contains(tensor)) {
    if (sums.outer.size() == 0) sums.outer = Matrix<double>(dy.cols(), std::min(dy.cols(), kRowBlock));
    for (size_t r = 0; r < dy.cols(); r += kRowBlock) {
      const size_t n = std::min(kRowBlock, dy.cols() - r);
      const auto part = dy.sub({0, r, dy.rows(), n});
      add_moment(part, part, sums.outer.view().sub({r, 0, n, n}));
    }
  }
  sums.energy += energy_of(x);
  sums.tokens += x.rows();
  if (options_.moments) {
    // The observer is called for tensors with the same inputs one after the other, so they can share H.
    const bool same = x.data() == last_inputs_ && tensor != last_tensor_;
    if (same && !sums.moments) sums.moments = linear_[last_tensor_].moments;
    if (!sums.moments) sums.moments = std::make_shared<Matrix<double>>(x.cols(), x.cols());
    if (!same) add_moment(x, x, sums.moments->view());
    last_inputs_ = x.data();
    last_tensor_ = tensor;
  }
}

void Accumulator::embedding(const std::string& tensor, std::span<const uint32_t> rows, MatrixView<const float> dx) {
  Sums& sums = embeddings_[tensor];
  // For each sequence: from a row of the table to the row of `total` with the sum of its gradients.
  std::vector<std::map<uint32_t, size_t>> index;
  size_t count = 0;
  for_sequences(sums.tokens, rows.size(), [&](size_t row, size_t n) {
    index.emplace_back();
    for (size_t t = row; t < row + n; ++t) count += index.back().emplace(rows[t], count).second ? 1 : 0;
  });
  Matrix<float> total(count, dx.cols());
  size_t sequence = 0;
  for_sequences(sums.tokens, rows.size(), [&](size_t row, size_t n) {
    for (size_t t = row; t < row + n; ++t) {
      float* to = total.row(index[sequence].at(rows[t]));
      for (size_t i = 0; i < dx.cols(); ++i) to[i] += dx(t, i);
    }
    for (const auto& [id, at] : index[sequence]) {
      if (sums.squares.size() <= id) sums.squares.resize(id + 1);
      for (size_t i = 0; i < dx.cols(); ++i) sums.squares[id] += static_cast<double>(total(at, i) * total(at, i));
    }
    ++sequence;
  });
  sums.tokens += rows.size();
  if (!options_.moments) return;
  if (!sums.moments) sums.moments = std::make_shared<Matrix<double>>(dx.cols(), dx.cols());
  add_moment(total.view(), total.view(), sums.moments->view());
}

Fisher Accumulator::finish() {
  Fisher out;
  out.tokens = scored_.size();
  for (const uint8_t s : scored_) out.scored += s;
  if (head_.empty()) out.scored = texts_;
  if (out.scored == 0) return out;
  const double per_scored = 1 / static_cast<double>(out.scored);
  std::vector<const Matrix<double>*> done;
  for (auto& [tensor, sums] : linear_) {
    TensorFisher& to = out.linear[tensor];
    const double per_token = 1 / static_cast<double>(sums.tokens);  // an expert sees only some of the tokens
    if (sums.moments && std::find(done.begin(), done.end(), sums.moments.get()) == done.end()) {
      finish_moment(per_token, true, sums.moments->view());
      done.push_back(sums.moments.get());
    }
    to.moments = sums.moments;
    to.rows = options_.exact ? sums.exact : sums.squares;
    to.input_energy = sums.energy * per_token;
    to.token_energy = std::move(sums.token_energy);
    to.correlations = correlations_of(sums.outer.view());
    const double scale = options_.exact && to.input_energy > 0 ? 1 / to.input_energy : 1;
    for (double& g : to.rows) g *= per_scored * scale;
  }
  if (head_.empty()) return finish_embeddings(per_scored, std::move(out));
  TensorFisher& head = out.linear[head_];
  head.rows = head_rows_;
  for (double& g : head.rows) g *= per_scored;
  if (head_moments_) finish_moment(per_scored, true, head_moments_->view());
  head.moments = head_moments_;
  head.input_energy = head_energy_ * per_scored;
  return finish_embeddings(per_scored, std::move(out));
}

Fisher Accumulator::finish_embeddings(double per_scored, Fisher out) {
  for (auto& [tensor, sums] : embeddings_) {
    TensorFisher& to = out.embeddings[tensor];
    to.rows = sums.squares;
    for (double& g : to.rows) g *= per_scored;
    to.input_energy = 1;
    double energy = 0;
    for (const double square : sums.squares) energy += square;
    if (sums.moments) finish_moment(energy > 0 ? 1 / energy : 0, true, sums.moments->view());
    to.moments = sums.moments;
  }
  return out;
}

}  // namespace

Fisher measure_fisher(GradientModel& model, std::span<const std::vector<TokenId>> sequences,
                      const FisherOptions& options) {
  Accumulator accumulator(sequences, model.head_tensor(), model.config().vocab_size, options);
  model.run(
      sequences,
      [&](size_t first, MatrixView<float> out) {
        return model.config().encoder ? accumulator.encoder_loss(out) : accumulator.loss(first, out);
      },
      accumulator);
  return accumulator.finish();
}

Bytes pack_fisher(const Fisher& fisher) {
  ByteWriter out;
  for (const uint64_t n : {fisher.tokens, fisher.scored}) out.put(n);
  for (const auto* tensors : {&fisher.linear, &fisher.embeddings}) {
    out.put_varint(tensors->size());
    for (const auto& [tensor, f] : *tensors) {
      out.put_varint(tensor.size());
      out.put_array(tensor.data(), tensor.size());
      out.put(f.input_energy);
      out.put_varint(f.rows.size());
      out.put_array(f.rows.data(), f.rows.size());
      out.put_varint(f.token_energy.size());
      out.put_array(f.token_energy.data(), f.token_energy.size());
      out.put_varint(f.correlations.size());
      out.put_array(f.correlations.data(), f.correlations.size());
    }
  }
  return out.take();
}

namespace {

template <typename T>
bool get_vector(ByteReader& in, std::vector<T>* values) {
  const uint64_t count = in.get_varint();
  if (count > in.remaining() / sizeof(T)) return false;
  values->resize(count);
  in.get_array(values->data(), count);
  return true;
}

}  // namespace

std::optional<Fisher> unpack_fisher(ByteSpan bytes) {
  Fisher out;
  try {
    ByteReader in(bytes, "importance");
    out.tokens = in.get<uint64_t>();
    out.scored = in.get<uint64_t>();
    for (auto* tensors : {&out.linear, &out.embeddings}) {
      for (uint64_t left = in.get_varint(); left > 0; --left) {
        const ByteSpan tensor = in.get_bytes(in.get_varint());
        TensorFisher& f = (*tensors)[std::string(tensor.begin(), tensor.end())];
        f.input_energy = in.get<double>();
        const bool whole =
            get_vector(in, &f.rows) && get_vector(in, &f.token_energy) && get_vector(in, &f.correlations);
        if (!whole) return std::nullopt;
      }
    }
    if (in.remaining() != 0) return std::nullopt;
  } catch (const Error&) {
    return std::nullopt;
  }
  return out;
}

double predicted_kl(const TensorFisher& fisher, MatrixView<const float> errors) {
  OCC_CHECK(errors.rows() >= fisher.rows.size());
  const size_t n = errors.cols();
  const size_t panels = ceil_div(fisher.rows.size(), kTaskOutputs);
  Matrix<float> h;
  if (fisher.moments) {
    OCC_CHECK(fisher.moments->rows() == n);
    h = Matrix<float>::uninitialized(n, n);
    for (size_t i = 0; i < h.size(); ++i) h.data()[i] = static_cast<float>(fisher.moments->data()[i]);
  }
  std::vector<double> sums(panels);
  parallel_for(panels, [&](size_t p) {
    const size_t first = p * kTaskOutputs, rows = std::min(kTaskOutputs, fisher.rows.size() - first);
    const auto e = errors.row_range(first, rows);
    Matrix<float> eh = Matrix<float>::uninitialized(rows, n);
    if (fisher.moments) gemm(Op::kNone, Op::kNone, 1.0f, e, h.view(), 0.0f, eh.view());
    for (size_t r = 0; r < rows; ++r) {
      double sum = 0;
      for (size_t i = 0; i < n; ++i) {
        sum += static_cast<double>(e(r, i)) * static_cast<double>(fisher.moments ? eh(r, i) : e(r, i));
      }
      if (!fisher.moments) sum *= fisher.input_energy / static_cast<double>(n);
      sums[p] += fisher.rows[first + r] * sum;
    }
  });
  double total = 0;
  for (const double s : sums) total += s / 2;
  return total;
}

}  // namespace occ
