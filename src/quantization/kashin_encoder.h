// The encoder of `kashin` (kashin.cc): alternates between the two bases, with levels that it learns from a sample of
// rows.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/params.h"
#include "occ/matrix.h"
#include "quantization/kashin_basis.h"
#include "quantization/kashin_levels.h"
#include "tensor/symbols.h"

namespace occ {

// The parameters of the stage, which kashin.cc describes.
struct KashinSettings {
  // Throws an error of `kind` if there are too many bits for joint clusters.
  KashinSettings(const Params& params, ErrorKind kind);

  unsigned bits[2];  // bits of u and of v
  bool joint;        // whether pairs of u and v have common points instead of levels for each
  size_t rounds;
  bool pair;  // whether the first u is that of a pair with small maxima
  float shrink, relax;
};

class KashinEncoder {
 public:
  // Learns from rows x [rows, cols] with at least one element, and scales [rows]. The basis must outlive this object.
  KashinEncoder(const KashinSettings& settings, const KashinBasis& basis, MatrixView<const float> x,
                std::span<const float> scales);

  // What the decoder needs: the levels of u (part 0) and of v (part 1), or the points of joint clusters.
  const KashinLevels& levels(size_t part) const { return levels_[part]; }
  const KashinPoints& points() const { return points_; }

  // Computes the symbols of rows [n, columns], given scales [n]. The columns begin with a block of the basis.
  // Thread-safe.
  void encode(MatrixView<const float> rows, std::span<const float> scales, MatrixView<Symbol> u,
              MatrixView<Symbol> v) const;

 private:
  struct Panel;
  // The levels that are used in one round.
  struct Round {
    KashinLevels u, v;
  };

  float beyond(size_t round) const;
  void project(Panel& p, float beyond) const;
  void subtract(Panel& p, float beyond) const;
  void joint_step(Panel& p, size_t step) const;
  void start(MatrixView<const float> rows, std::span<const float> scales, Panel& p) const;
  void sign_steps(Matrix<float>& left, Matrix<float>& to) const;
  static void store_symbols(const KashinLevels& levels, const Matrix<float>& values, MatrixView<Symbol> symbols);
  void store_codes(const Panel& p, MatrixView<Symbol> u, MatrixView<Symbol> v) const;
  std::vector<Panel> sample(MatrixView<const float> x, std::span<const float> scales, size_t count) const;
  void learn_levels(std::vector<Panel>& panels, size_t rows);
  void learn_points(std::vector<Panel>& panels, size_t rows);
  void fit_levels(size_t part, const std::vector<Panel>& panels, size_t rows);

  const KashinSettings settings_;
  const KashinBasis& basis_;
  KashinLevels levels_[2];
  KashinPoints points_;
  // The levels of all rounds, or the points of all steps. Every row repeats these rounds.
  std::vector<Round> schedule_;
  std::vector<KashinPoints> joint_schedule_;
};

}  // namespace occ
