#include "calibration/dense_layer.h"

#include <algorithm>

#include "base/check.h"
#include "base/parallel.h"
#include "tensor/row_source.h"

namespace occ {
namespace {

void transpose(MatrixView<const float> in, MatrixView<float> out) {
  constexpr size_t kTile = 32;
  for (size_t r0 = 0; r0 < in.rows(); r0 += kTile) {
    for (size_t c0 = 0; c0 < in.cols(); c0 += kTile) {
      for (size_t c = c0; c < std::min(c0 + kTile, in.cols()); ++c) {
        for (size_t r = r0; r < std::min(r0 + kTile, in.rows()); ++r) out(c, r) = in(r, c);
      }
    }
  }
}

}  // namespace

std::vector<DensePart> dense_parts(const ModelConfig& config, const Layer& l) {
  std::vector<DensePart> parts;
  size_t matrix = 0;
  const auto join = [&](std::initializer_list<const Linear*> linears, size_t cols) {
    size_t row = 0;
    for (const Linear* linear : linears) {
      if (linear->tensor.empty()) continue;
      parts.push_back({linear, matrix, row, cols});
      row += linear->outputs;
    }
    ++matrix;
  };
  join({&l.qkv, &l.q, &l.k, &l.v}, config.dim);
  join({&l.attention_output}, config.heads * config.head_dim);
  join({&l.router}, config.dim);
  for (const Mlp& m : l.mlps) {
    join({&m.gate_up, &m.gate, &m.up}, config.dim);
    join({&m.down}, config.ff_dim);
  }
  return parts;
}

DenseLayer read_dense_layer(const TensorFile& file, const ModelConfig& config, Layer info) {
  DenseLayer out;
  out.info = std::move(info);
  const std::vector<DensePart> parts = dense_parts(config, out.info);
  out.matrices.resize(3 + 2 * out.info.mlps.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    const DensePart& part = parts[i];
    if (i + 1 < parts.size() && parts[i + 1].matrix == part.matrix) continue;
    out.matrices[part.matrix] = Matrix<float>::uninitialized(part.row + part.linear->outputs, part.cols);
  }
  parallel_for(parts.size(), [&](size_t i) {
    const DensePart& part = parts[i];
    const size_t tensor = file.find(part.linear->tensor), cols = part.cols;
    const MatrixView<float> to = out.matrices[part.matrix].view().row_range(part.row, part.linear->outputs);
    run_isolated([&] {
      if (!config.transposed_weights) {
        file.read_f32(tensor, 0, to.size(), to.data());
        return;
      }
      Matrix<float> stored = Matrix<float>::uninitialized(cols, to.rows());
      file.read_f32(tensor, 0, stored.size(), stored.data());
      transpose(stored.view(), to);
    });
  });
  return out;
}

Matrix<float> read_matrix(const TensorFile& file, size_t tensor) {
  const TensorRows source(file, tensor);
  Matrix<float> out = Matrix<float>::uninitialized(source.shape().rows, source.shape().cols);
  const size_t step = std::max<size_t>(1, 1024 / file.read_granularity(tensor)) * file.read_granularity(tensor);
  parallel_for(ceil_div(out.rows(), step), [&](size_t i) {
    run_isolated(
        [&] { source.read_rows(i * step, out.view().row_range(i * step, std::min(step, out.rows() - i * step))); });
  });
  return out;
}

void gather_rows(const TensorFile& file, size_t tensor, std::span<const uint32_t> rows, MatrixView<float> out) {
  const TensorRows source(file, tensor);
  const size_t granularity = file.read_granularity(tensor), total = source.shape().rows;
  const size_t step = std::max<size_t>(1, 1024 / granularity) * granularity;
  // For each block of `step` rows of the tensor, the indices into `rows` of the rows that lie in it.
  std::vector<std::vector<uint32_t>> wanted(ceil_div(total, step));
  for (size_t i = 0; i < rows.size(); ++i) wanted[rows[i] / step].push_back(static_cast<uint32_t>(i));
  parallel_for(wanted.size(), [&](size_t block) {
    if (wanted[block].empty()) return;
    run_isolated([&] {
      const size_t first = block * step;
      Matrix<float> values = Matrix<float>::uninitialized(std::min(step, total - first), out.cols());
      source.read_rows(first, values.view());
      for (const uint32_t i : wanted[block]) std::copy_n(values.row(rows[i] - first), out.cols(), out.row(i));
    });
  });
}

void product(MatrixView<const float> x, Op op_w, MatrixView<const float> w, MatrixView<float> y) {
  constexpr size_t kRows = 256, kCols = 512;
  const size_t row_tiles = ceil_div(x.rows(), kRows), col_tiles = ceil_div(y.cols(), kCols);
  parallel_for(row_tiles * col_tiles, [&](size_t i) {
    const size_t r = i % row_tiles * kRows, c = i / row_tiles * kCols;
    const size_t rows = std::min(kRows, x.rows() - r), cols = std::min(kCols, y.cols() - c);
    const auto part = op_w == Op::kTranspose ? w.row_range(c, cols) : w.sub({0, c, w.rows(), cols});
    gemm(Op::kNone, op_w, 1.0f, x.row_range(r, rows), part, 0.0f, y.sub({r, c, rows, cols}));
  });
}

std::string bias_tensor(const Linear& linear) {
  const std::string end = ".weight";
  OCC_CHECK(linear.tensor.size() > end.size());
  return linear.tensor.substr(0, linear.tensor.size() - end.size()) + ".bias";
}

}  // namespace occ
