// Fisher information: how much errors of weights cost. A second-order model of the KL divergence between the
// predictions of a model and those of the same model with one tensor changed.
//
// Let y_s = W x_s be the output of a linear layer at token s, and E the error of W. To second order, the KL of the
// prediction at token t is
//
//   1/2 d_t^T F_t d_t,   d_t = sum_{s <= t} dz_t/dy_s E x_s,   F_t = diag(p) - p p^T = E[(p - e_l)(p - e_l)^T]
//
// where d_t is the change of its logits z_t, and the mean is over labels l ~ p = softmax(z_t). Labels of different
// tokens are independent and E[p - e_l] = 0, so the sum over tokens is that of one loss, sum_t -log p_t(l_t), with one
// label drawn at every token:
//
//   sum_t KL_t = 1/2 E_labels[(sum_s g_s^T E x_s)^2],   g_s = d loss / d y_s
//
// That is exact to second order. If tokens are independent of each other, rows of E as well, and g is independent of x
// (the assumptions of K-FAC, Martens & Grosse 2015), the KL per scored token is
//
//   KL = 1/2 sum_r G_r e_r H e_r^T,   G_r = sum_s g_sr^2 / scored,   H = mean_s x_s x_s^T
//
// In truth the gradients of two rows are correlated. With their correlations c_rs over tokens it is
//
//   KL = 1/2 sum_rs sqrt(G_r G_s) c_rs e_r H e_s^T
//
// and if gradients are larger at some tokens than at others, H = sum_s |g_s|^2 x_s x_s^T / sum_s |g_s|^2.
//
// If the elements of E are independent of each other, no other independence is needed:
//
//   KL = 1/2 sum_r w_r |e_r|^2 / in,   w_r = sum over sequences |d loss / d W_r|^2 / scored
//
// With the option `exact`, G_r = w_r / tr H. Then every sequence gives only one sample of G_r, not one for each token,
// so many sequences are needed.
//
// For encoders, 1 - cosine between the embeddings of a text takes the place of the KL of a token. To second order it is
// 1/2 |d|^2 with the change d of the embedding's direction u. So the loss is v^T (I - u u^T) / |embedding| times the
// embedding, with v drawn from a normal distribution.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "calibration/gradients.h"
#include "occ/matrix.h"

namespace occ {

// Correlations are measured within blocks of this many rows; rows of different blocks are taken as independent.
inline constexpr size_t kRowBlock = 1024;

struct TensorFisher {
  std::vector<double> rows;  // [rows] G_r, the mean squared gradient of output r
  double input_energy = 0;   // tr H, the mean energy of the inputs
  // H [in, in]; tensors with the same inputs share one object. Null if FisherOptions::moments is false.
  std::shared_ptr<const Matrix<double>> moments;
  // |g_s|^2 of every token. Only for tensors in FisherOptions::token_energies.
  std::vector<float> token_energy;
  // Only for tensors in FisherOptions::correlations: c_rs in units of 2^-15 for s <= r, row after row, first for the
  // first block of kRowBlock rows, then for the next block, and so on.
  std::vector<int16_t> correlations;
};

struct Fisher {
  // Linear layers, and the head, which has G_r = E[p_r (1 - p_r)] and as H the second moments of the final hidden
  // states of scored tokens.
  std::map<std::string, TensorFisher> linear;
  // Embedding tables. The formula is the same, with G_r = mean |g|^2 per scored token, where g is the gradient of row r
  // in one sequence, and H = the second moments of g divided by their trace. A tied tensor is here and in `linear`.
  std::map<std::string, TensorFisher> embeddings;
  uint64_t tokens = 0, scored = 0;  // for encoders, `scored` is the number of texts
};

struct FisherOptions {
  uint64_t seed = 0;    // seed for the random labels
  bool moments = true;  // whether to measure H; costs about a third of the backward pass
  bool exact = true;    // whether to set G_r = w_r / tr H (see above); costs as much again
  size_t first = 0;     // tokens before this position of a sequence are not scored
  // Names of linear layers whose TensorFisher::token_energy and correlations are measured.
  std::set<std::string> token_energies = {}, correlations = {};
  // Called whenever gradients of a linear layer arrive, which happens several times for each layer.
  std::function<void(const std::string& tensor)> seen = {};
};

Fisher measure_fisher(GradientModel& model, std::span<const std::vector<TokenId>> sequences,
                      const FisherOptions& options = {});

// Returns the bytes of a cache file. H is left out.
Bytes pack_fisher(const Fisher& fisher);
// Returns nothing if the bytes are not from pack_fisher.
std::optional<Fisher> unpack_fisher(ByteSpan bytes);

// Predicts the KL that errors [rows, in] of a tensor cause: 1/2 sum_r G_r e_r H e_r^T, in nats per scored token. If H
// is null, the multiple of the identity with the same trace takes its place.
double predicted_kl(const TensorFisher& fisher, MatrixView<const float> errors);

}  // namespace occ
