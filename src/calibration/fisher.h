// How much errors of weights cost: the second-order model of the KL divergence from the model to itself with a changed
// tensor.
//
// Let y_s = W x_s at token s and E the error of W. To second order the KL of the prediction at token t is
//
//   1/2 d_t^T F_t d_t,   d_t = sum_{s <= t} dz_t/dy_s E x_s,   F_t = diag(p) - p p^T = E[(p - e_l)(p - e_l)^T]
//
// with the change d_t of its logits z_t and the mean over labels l ~ p = softmax(z_t). Labels of different tokens are
// independent and E[p - e_l] = 0, so the sum over tokens is that of one loss, sum_t -log p_t(l_t), with one label drawn
// at every token:
//
//   sum_t KL_t = 1/2 E_labels[(sum_s g_s^T E x_s)^2],   g_s = d loss / d y_s
//
// That is exact to second order. With tokens and the rows of E independent of each other, and g of x (as K-FAC has it:
// Martens & Grosse 2015), per scored token
//
//   KL = 1/2 sum_r G_r e_r H e_r^T,   G_r = sum_s g_sr^2 / scored,   H = mean_s x_s x_s^T
//
// Outputs that depend on each other: with the correlations c_rs of g_r and g_s over tokens, a mean over rows and
// columns of E in place of the sum over rows,
//
//   KL = 1/2 sum_rs sqrt(G_r G_s) c_rs e_r H e_s^T
//
// and inputs that count for more at some tokens: H = sum_s |g_s|^2 x_s x_s^T / sum_s |g_s|^2.
//
// White errors need no independence but that of the elements of E: their KL is
//
//   KL = 1/2 sum_r w_r |e_r|^2 / in,   w_r = sum over sequences |d loss / d W_r|^2 / scored
//
// With `exact`, G_r = w_r / tr H; its samples are sequences instead of tokens, so take many.
//
// Encoders: 1 - cosine of a text's embeddings in place of the KL of a token. To second order that is 1/2 |d|^2 with the
// change d of the embedding's direction u, and the loss is v^T (I - u u^T) / |embedding| times the embedding, v normal.
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

// Rows further apart are taken as independent.
inline constexpr size_t kRowBlock = 1024;

struct TensorFisher {
  std::vector<double> rows;  // G_r
  double input_energy = 0;   // tr H
  // H [in, in], shared by tensors with the same inputs; null without FisherOptions::moments.
  std::shared_ptr<const Matrix<double>> moments;
  std::vector<float> token_energy;  // |g_s|^2 by token, if asked for
  // c_rs, s <= r, row after row, in units of 2^-15, if asked for: of the first kRowBlock rows, of the next ones, ...
  std::vector<int16_t> correlations;
};

struct Fisher {
  // Linear layers and the head (G_r = E[p_r (1 - p_r)], H of the hidden states of scored tokens).
  std::map<std::string, TensorFisher> linear;
  // Tables that rows are looked up in, by the same formula: G_r = mean |g|^2 over scored tokens of the gradient g of
  // row r in a sequence, H = the second moment of g, over its trace. A tied tensor is here and in `linear`.
  std::map<std::string, TensorFisher> embeddings;
  uint64_t tokens = 0, scored = 0;  // encoders score texts
};

struct FisherOptions {
  uint64_t seed = 0;    // of the labels
  bool moments = true;  // H costs about a third of the backward pass
  bool exact = true;    // the same again
  size_t first = 0;     // tokens of a sequence from this position on are scored
  std::set<std::string> token_energies = {}, correlations = {};  // linear layers that they are measured of
  std::function<void(const std::string& tensor)> seen = {};      // gradients of a linear layer came by, perhaps again
};

Fisher measure_fisher(GradientModel& model, std::span<const std::vector<TokenId>> sequences,
                      const FisherOptions& options = {});

// Without moments.
Bytes pack_fisher(const Fisher& fisher);
// Nothing if these are no such bytes.
std::optional<Fisher> unpack_fisher(ByteSpan bytes);

// 1/2 sum_r G_r e_r H e_r^T of errors [rows, in], or with the multiple of the identity that has its trace where there
// is no H.
double predicted_kl(const TensorFisher& fisher, MatrixView<const float> errors);

}  // namespace occ
