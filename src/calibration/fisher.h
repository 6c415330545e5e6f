// Fisher information: how much errors of weights cost. A second-order model of the KL divergence between the
// predictions of a model and those of the same model with one tensor changed.
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
// Gradients of two rows are correlated in truth. With their correlations c_rs over tokens
//
//   KL = 1/2 sum_rs sqrt(G_r G_s) c_rs e_r H e_s^T
//
// and if gradients are larger at some tokens than at others, H = sum_s |g_s|^2 x_s x_s^T / sum_s |g_s|^2.
//
// If the elements of E are independent of each other, no other independence is needed:
//
//   KL = 1/2 sum_r w_r |e_r|^2 / in,   w_r = sum over sequences |d loss / d W_r|^2 / scored
//
// With the option `exact`, G_r = w_r / tr H. Then its samples are sequences instead of tokens, so many sequences are
// needed.
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

// Correlations are measured within blocks of so many rows; rows of different blocks are taken as independent.
inline constexpr size_t kRowBlock = 1024;

struct TensorFisher {
  std::vector<double> rows;  // G_r
  double input_energy = 0;   // tr H
  // H [in, in], one object for all tensors with the same inputs; null without FisherOptions::moments.
  std::shared_ptr<const Matrix<double>> moments;
  std::vector<float> token_energy;  // |g_s|^2 of every token, if asked for
  // If asked for: c_rs in units of 2^-15 for s <= r, row after row, within the first kRowBlock rows, then within the
  // next ones, and so on.
  std::vector<int16_t> correlations;
};

struct Fisher {
  // Linear layers, and the head with G_r = E[p_r (1 - p_r)] and H of the final hidden states of scored tokens.
  std::map<std::string, TensorFisher> linear;
  // Tables that rows are looked up in. The formula is the same with G_r = mean |g|^2 per scored token, g the gradient
  // of row r in a sequence, and H = the second moment of g divided by its trace. A tied tensor is here and in `linear`.
  std::map<std::string, TensorFisher> embeddings;
  uint64_t tokens = 0, scored = 0;  // of encoders, `scored` counts texts
};

struct FisherOptions {
  uint64_t seed = 0;    // of the labels
  bool moments = true;  // costs about a third of the backward pass
  bool exact = true;    // costs as much again
  size_t first = 0;     // tokens of a sequence from this position on are scored
  std::set<std::string> token_energies = {}, correlations = {};  // linear layers for which these are measured
  // Called whenever gradients of a linear layer arrive, which is several times for each.
  std::function<void(const std::string& tensor)> seen = {};
};

Fisher measure_fisher(GradientModel& model, std::span<const std::vector<TokenId>> sequences,
                      const FisherOptions& options = {});

// Bytes for a file; moments are left out.
Bytes pack_fisher(const Fisher& fisher);
// Nothing if these are not bytes of pack_fisher.
std::optional<Fisher> unpack_fisher(ByteSpan bytes);

// 1/2 sum_r G_r e_r H e_r^T for errors [rows, in]. Where there is no H, the multiple of the identity with the same
// trace takes its place.
double predicted_kl(const TensorFisher& fisher, MatrixView<const float> errors);

}  // namespace occ
