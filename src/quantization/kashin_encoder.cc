#include "quantization/kashin_encoder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/parallel.h"
#include "simd/panel.h"
#include "tensor/bf16_scales.h"

namespace occ {

constexpr unsigned kMaxJointBits = 6;

KashinSettings::KashinSettings(const Params& params, ErrorKind kind)
    : bits{static_cast<unsigned>(params.integer("u")), static_cast<unsigned>(params.integer("v"))},
      joint(params.choice("clusters") == "joint"),
      rounds(static_cast<size_t>(params.integer("rounds"))),
      pair(params.choice("start") == "pair" || rounds == 0),
      shrink(static_cast<float>(params.real("shrink"))),
      relax(static_cast<float>(params.real("relax"))) {
  if (joint && bits[0] + bits[1] > kMaxJointBits) {
    throw Error(
        kind, fmt::format("kashin: clusters=joint expects u + v up to {}, found {}", kMaxJointBits, bits[0] + bits[1]));
  }
}

// Buffers for 16 rows; element (c, k) is column c of row k.
struct KashinEncoder::Panel {
  Panel(const KashinEncoder& e, size_t cols)
      : x(cols, kPanelLanes),
        u(cols, kPanelLanes),
        v(cols, kPanelLanes),
        y(cols, kPanelLanes),
        out(cols, kPanelLanes),
        work(1, e.basis_.work_size()),
        codes(e.settings_.joint ? cols : 0, kPanelLanes),
        basis(e.basis_) {}
  // out := Q v. The input is destroyed.
  void from_basis(float* from) { basis.apply(from, out.data(), x.rows(), false, work.data()); }
  // out := Q^T x. The input is destroyed.
  void to_basis(float* from) { basis.apply(from, out.data(), x.rows(), true, work.data()); }
  void snap_u(const KashinLevels& levels) { snap(levels, u.data(), u.size()); }
  void snap_v(const KashinLevels& levels) { snap(levels, v.data(), v.size()); }
  // Finds the numbers of the points that are nearest to u and v.
  void find_points(const KashinPoints& points) { nearest_points(points, u.data(), v.data(), u.size(), codes.data()); }
  // Sets u and v to the points with these numbers.
  void put_points(const KashinPoints& points) {
    for (size_t i = 0; i < u.size(); ++i) {
      const auto k = static_cast<size_t>(codes.data()[i]);
      u.data()[i] = points.u[k];
      v.data()[i] = points.v[k];
    }
  }

  Matrix<float> x, u, v;  // x / s, and the current targets of u and v
  Matrix<float> y, out, work;
  Matrix<int32_t> codes;  // point numbers, for joint clusters
  const KashinBasis& basis;
};

KashinEncoder::KashinEncoder(const KashinSettings& settings, const KashinBasis& basis, MatrixView<const float> x,
                             std::span<const float> scales)
    : settings_(settings), basis_(basis) {
  const size_t wanted = std::max(kPanelLanes, ceil_div(size_t{1} << 17, x.cols()));
  const size_t rows = std::min(wanted, x.rows());
  std::vector<Panel> panels = sample(x, scales, rows);
  fit_levels(0, panels, rows);
  if (settings_.rounds == 0) fit_levels(1, panels, rows);
  settings_.joint ? learn_points(panels, rows) : learn_levels(panels, rows);
}

void KashinEncoder::encode(MatrixView<const float> rows, std::span<const float> scales, MatrixView<Symbol> u,
                           MatrixView<Symbol> v) const {
  Panel p(*this, rows.cols());
  for (size_t r = 0; r < rows.rows(); r += kPanelLanes) {
    const size_t count = std::min(kPanelLanes, rows.rows() - r);
    start(rows.row_range(r, count), scales.subspan(r, count), p);
    for (size_t round = 0; round < schedule_.size(); ++round) {
      p.snap_u(schedule_[round].u);
      project(p, beyond(round));
      p.snap_v(schedule_[round].v);
      subtract(p, beyond(round));
    }
    if (settings_.joint) {
      if (settings_.rounds != 0) {
        p.snap_u(levels_[0]);
        project(p, 1);
      }
      for (size_t step = 0; step < joint_schedule_.size(); ++step) {
        p.find_points(joint_schedule_[step]);
        p.put_points(joint_schedule_[step]);
        joint_step(p, step);
      }
      p.find_points(points_);
      store_codes(p, u.row_range(r, count), v.row_range(r, count));
    } else {
      store_symbols(levels_[0], p.u, u.row_range(r, count));
      store_symbols(levels_[1], p.v, v.row_range(r, count));
    }
  }
}

// Returns the factor on the change of a target. The first v has no target before it.
float KashinEncoder::beyond(size_t round) const {
  if (round == 0) return 1;
  return 1 + settings_.relax * (1 - static_cast<float>(round) / static_cast<float>(settings_.rounds));
}

// p.u has levels. Moves p.v from its levels towards Q^T (x - u) by `beyond` times the distance.
void KashinEncoder::project(Panel& p, float beyond) const {
  for (size_t i = 0; i < p.x.size(); ++i) p.y.data()[i] = p.x.data()[i] - p.u.data()[i];
  p.to_basis(p.y.data());
  for (size_t i = 0; i < p.x.size(); ++i) p.v.data()[i] += beyond * (p.out.data()[i] - p.v.data()[i]);
}

// p.v has levels. Moves p.u from its levels towards x - Q v by `beyond` times the distance.
void KashinEncoder::subtract(Panel& p, float beyond) const {
  std::copy_n(p.v.data(), p.v.size(), p.y.data());
  p.from_basis(p.y.data());
  for (size_t i = 0; i < p.x.size(); ++i) {
    p.u.data()[i] += beyond * ((p.x.data()[i] - p.out.data()[i]) - p.u.data()[i]);
  }
}

// After even steps (0, 2, ...) u gets a new target, after odd steps v.
void KashinEncoder::joint_step(Panel& p, size_t step) const {
  step % 2 == 0 ? subtract(p, beyond(step / 2)) : project(p, beyond((step + 1) / 2));
}

// Sets x and the first u. If the start is a pair, also sets the first v.
void KashinEncoder::start(MatrixView<const float> rows, std::span<const float> scales, Panel& p) const {
  constexpr float kMost = 1e15f;
  load_panel_rows(rows, p.x.data());
  float pre[kPanelLanes] = {}, inverse[kPanelLanes] = {};
  for (size_t k = 0; k < rows.rows(); ++k) {
    const Reciprocal by = reciprocal_of(scales[k]);
    pre[k] = by.pre;
    inverse[k] = by.inverse;
  }
  for (size_t c = 0; c < p.x.rows(); ++c) {
    float* x = p.x.row(c);
    for (size_t k = 0; k < kPanelLanes; ++k) x[k] = std::clamp((x[k] * pre[k]) * inverse[k], -kMost, kMost);
  }
  std::fill_n(p.v.data(), p.v.size(), 0.0f);
  if (!settings_.pair) {
    for (size_t i = 0; i < p.x.size(); ++i) p.u.data()[i] = (1 - settings_.shrink) * p.x.data()[i];
    return;
  }
  std::fill_n(p.u.data(), p.u.size(), 0.0f);
  Matrix<float> left = p.x.clone();
  for (int block = 0; block < 6; ++block) {
    sign_steps(left, p.u);
    p.to_basis(left.data());
    std::copy_n(p.out.data(), left.size(), left.data());
    sign_steps(left, p.v);
    p.from_basis(left.data());
    std::copy_n(p.out.data(), left.size(), left.data());
  }
}

// Does twice for each block: with the mean c of |left| in a row, moves c sign(left) from `left` to `to`.
void KashinEncoder::sign_steps(Matrix<float>& left, Matrix<float>& to) const {
  for (size_t begin = 0; begin < left.rows(); begin += basis_.block()) {
    const size_t end = std::min(left.rows(), begin + basis_.block());
    for (int step = 0; step < 2; ++step) {
      float mean[kPanelLanes] = {};
      for (size_t c = begin; c < end; ++c) {
        for (size_t k = 0; k < kPanelLanes; ++k) mean[k] += std::abs(left(c, k));
      }
      for (float& m : mean) m /= static_cast<float>(end - begin);
      for (size_t c = begin; c < end; ++c) {
        for (size_t k = 0; k < kPanelLanes; ++k) {
          const float add = std::copysign(mean[k], left(c, k));
          to(c, k) += add;
          left(c, k) -= add;
        }
      }
    }
  }
}

void KashinEncoder::store_symbols(const KashinLevels& levels, const Matrix<float>& values, MatrixView<Symbol> symbols) {
  for (size_t k = 0; k < symbols.rows(); ++k) {
    for (size_t c = 0; c < symbols.cols(); ++c) {
      Symbol q = 0;
      for (const float border : levels.border) q = static_cast<Symbol>(q + (values(c, k) > border));
      symbols(k, c) = q;
    }
  }
}

void KashinEncoder::store_codes(const Panel& p, MatrixView<Symbol> u, MatrixView<Symbol> v) const {
  const unsigned v_bits = settings_.bits[1];
  for (size_t k = 0; k < u.rows(); ++k) {
    for (size_t c = 0; c < u.cols(); ++c) {
      u(k, c) = static_cast<Symbol>(p.codes(c, k) >> v_bits);
      v(k, c) = static_cast<Symbol>(p.codes(c, k) & ((1 << v_bits) - 1));
    }
  }
}

// Returns `count` evenly spaced rows of x after start(). Each row is started on its own, because it has its own scale.
std::vector<KashinEncoder::Panel> KashinEncoder::sample(MatrixView<const float> x, std::span<const float> scales,
                                                        size_t count) const {
  const size_t cols = x.cols(), stride = std::max<size_t>(1, x.rows() / count);
  std::vector<Panel> panels;
  for (size_t k = 0; k < count; k += kPanelLanes) panels.emplace_back(*this, cols);
  parallel_for(panels.size(), [&](size_t i) {
    const size_t first = i * kPanelLanes, rows = std::min(kPanelLanes, count - first);
    Panel& p = panels[i];
    Matrix<float> all(cols, kPanelLanes), u(cols, kPanelLanes), v(cols, kPanelLanes);
    for (size_t k = 0; k < rows; ++k) {
      const size_t row = (first + k) * stride;
      start(x.row_range(row, 1), scales.subspan(row, 1), p);
      for (size_t c = 0; c < cols; ++c) {
        all(c, k) = p.x(c, 0);
        u(c, k) = p.u(c, 0);
        v(c, k) = p.v(c, 0);
      }
    }
    p.x = std::move(all);
    p.u = std::move(u);
    p.v = std::move(v);
  });
  return panels;
}

// Fits the levels of u (part 0) or v (part 1) with the least squared error to the first `rows` rows of the panels.
void KashinEncoder::fit_levels(size_t part, const std::vector<Panel>& panels, size_t rows) {
  KashinHistogram histogram;
  for (size_t i = 0; i < panels.size(); ++i) {
    const Matrix<float>& m = part == 0 ? panels[i].u : panels[i].v;
    const size_t count = std::min(kPanelLanes, rows - i * kPanelLanes);
    for (size_t c = 0; c < m.rows(); ++c) histogram.add(m.row(c), count);
  }
  levels_[part].set(histogram.best(settings_.bits[part]));
}

// Runs the alternation on the sample and fits the levels in every step. u must have levels already.
void KashinEncoder::learn_levels(std::vector<Panel>& panels, size_t rows) {
  for (size_t round = 0; round < settings_.rounds; ++round) {
    parallel_for(panels.size(), [&](size_t i) {
      panels[i].snap_u(levels_[0]);
      project(panels[i], beyond(round));
    });
    fit_levels(1, panels, rows);
    schedule_.push_back({levels_[0], levels_[1]});
    parallel_for(panels.size(), [&](size_t i) {
      panels[i].snap_v(levels_[1]);
      subtract(panels[i], beyond(round));
    });
    fit_levels(0, panels, rows);
  }
  points_.set_grid(levels_[0], levels_[1]);
}

// Does the same with points instead of levels, with one step of k-means each time. u must have levels already.
void KashinEncoder::learn_points(std::vector<Panel>& panels, size_t rows) {
  constexpr size_t kStepsOfPair = 20;
  if (settings_.rounds != 0) {
    parallel_for(panels.size(), [&](size_t i) {
      panels[i].snap_u(levels_[0]);
      project(panels[i], 1);
    });
    fit_levels(1, panels, rows);
  }
  points_.set_grid(levels_[0], levels_[1]);
  for (size_t step = 0; step < (settings_.rounds == 0 ? kStepsOfPair : 2 * settings_.rounds - 1); ++step) {
    std::vector<PointSums> sums(panels.size(), PointSums(points_.u.size()));
    parallel_for(panels.size(), [&](size_t i) {
      Panel& p = panels[i];
      p.find_points(points_);
      sums[i].add(p.codes, p.u, p.v, std::min(kPanelLanes, rows - i * kPanelLanes));
      if (settings_.rounds == 0) return;
      p.put_points(points_);
      joint_step(p, step);
    });
    if (settings_.rounds != 0) joint_schedule_.push_back(points_);
    for (size_t i = 1; i < sums.size(); ++i) sums[0].add(sums[i]);
    sums[0].means(points_);
  }
}

}  // namespace occ
