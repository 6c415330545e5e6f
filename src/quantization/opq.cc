// The stage `opq`: product quantization of rotated rows, with a rotation for each cluster of rows,
//
//   x_r = mu_j + c_j[q_r] V_j^T
//
// where j is the cluster of row r, mu_j its centroid, c_j its product codebook (pq.cc) and V_j its rotation. The symbol
// planes are clusters [rows, 1] and codes [rows, m]. With one cluster and without mu this is Optimized Product
// Quantization (Ge, He, Ke, Sun 2013), with several it is Locally Optimized Product Quantization (Kalantidis & Avrithis
// 2014). V_j rotates blocks of columns and takes 16 block / rows bits per weight and cluster, by default at most a
// tenth of `bits`. Everything is stored as f16, and its bytes count. Cost: `block` multiply-adds per weight more than
// pq to decode, and five times that to encode.
//
// It is one quantizer instead of a transform in front of pq, since rotations and codebooks are fitted to each other in
// turn and every cluster has its own. Rows are therefore coded as a whole, and error feedback is not possible.
#include "quantization/opq.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/parallel.h"
#include "tensor/dtype.h"

namespace occ {
namespace {

constexpr ParamSpec kParams[] = {
    kBudgetParam,
    kSubspacesParam,
    kCentroidsParam,
    int_param("clusters", "1", 1, 4096, "of rows, each with its centroid, rotation and codebooks"),
    int_param("block", "0", 0, 1 << 16, "columns that are rotated together, 1: none; 0: from bits"),
    int_param("rounds", "8", 0, 1000, "of fitting the rotation to the codes and the codes to the rotation"),
    kIterationsParam,
    kCodebookParam,
    kCodebookBitsParam,
    kCodebookScaleParam};
constexpr std::string_view kPlanes[] = {"clusters", "codes"};
constexpr size_t kPanelRows = 64;
constexpr double kWorthOfDoubling =
    0.015;  // bits per weight that blocks of twice the size save, measured on SIFT vectors

class OpqQuantizer final : public Quantizer, public ProductCodes {
 public:
  OpqQuantizer(Shape shape, OpqParts parts) : shape_(shape), parts_(std::move(parts)) {}

  std::vector<SymbolPlane> planes() const override {
    const auto clusters = static_cast<uint32_t>(parts_.codebooks.size());
    return {{.name = "clusters", .rows = shape_.rows, .cols = cluster_columns(), .alphabet = clusters},
            {.name = "codes", .rows = shape_.rows, .cols = code_columns(), .alphabet = parts_.codebooks[0]->k()}};
  }
  Granule granule() const override { return {1, 0}; }
  Rect plane_rect(size_t plane, const Rect& at) const override {
    return {at.row, 0, at.rows, plane == 0 ? cluster_columns() : code_columns()};
  }

  void quantize(const Rect& at, MatrixView<float> values, std::span<const MatrixView<Symbol>> symbols) const override {
    OCC_CHECK(symbols.size() == 2 && values.shape() == at.shape() && at.cols == shape_.cols);
    if (values.size() == 0) return;
    if (parts_.coarse != nullptr) {
      parts_.coarse->encode(0, values, symbols[0]);
    } else {
      for (size_t r = 0; r < at.rows; ++r) symbols[0](r, 0) = 0;
    }
    by_cluster(symbols[0], values, [&](size_t cluster, std::span<const size_t> rows, MatrixView<float> x) {
      to_coordinates(cluster, x);
      Matrix<Symbol> codes(rows.size(), symbols[1].cols());
      parts_.codebooks[cluster]->encode(0, x, codes.view());
      for (size_t i = 0; i < rows.size(); ++i) std::copy_n(codes.row(i), codes.cols(), symbols[1].row(rows[i]));
    });
    const MatrixView<const Symbol> const_symbols[] = {symbols[0], symbols[1]};
    dequantize(at, const_symbols, values);
  }

  void dequantize(const Rect& at, std::span<const MatrixView<const Symbol>> symbols,
                  MatrixView<float> out) const override {
    OCC_CHECK(symbols.size() == 2 && out.shape() == at.shape() && at.cols == shape_.cols);
    if (out.size() == 0) return;
    by_cluster(symbols[0], out, [&](size_t cluster, std::span<const size_t> rows, MatrixView<float> y) {
      Matrix<Symbol> codes(rows.size(), symbols[1].cols());
      for (size_t i = 0; i < rows.size(); ++i) std::copy_n(symbols[1].row(rows[i]), codes.cols(), codes.row(i));
      parts_.codebooks[cluster]->decode(0, codes.view(), y);
      from_coordinates(cluster, y);
      for (size_t i = 0; i < y.rows(); ++i) {
        for (size_t c = 0; c < y.cols(); ++c) y(i, c) = finite(y(i, c));
      }
      for (size_t i = 0; i < rows.size(); ++i) std::copy_n(y.row(i), y.cols(), out.row(rows[i]));
    });
  }

  const ProductCodes* product_codes() const override { return this; }
  size_t clusters() const override { return parts_.codebooks.size(); }
  bool rotates() const override { return parts_.coarse != nullptr || parts_.rotations[0].block() > 1; }
  const ProductCodebook& codebook(size_t cluster) const override { return *parts_.codebooks[cluster]; }
  void to_coordinates(size_t cluster, MatrixView<float> x) const override {
    to_opq_coordinates(parts_, std::vector<Symbol>(x.rows(), static_cast<Symbol>(cluster)), x);
  }
  void from_coordinates(size_t cluster, MatrixView<float> y) const override {
    parts_.rotations[cluster].from(y);
    if (parts_.coarse == nullptr) return;
    Matrix<float> center(1, y.cols());
    Matrix<Symbol> which(1, 1);
    which(0, 0) = static_cast<Symbol>(cluster);
    parts_.coarse->decode(0, which.view(), center.view());
    for (size_t i = 0; i < y.rows(); ++i) {
      for (size_t c = 0; c < y.cols(); ++c) y(i, c) += center(0, c);
    }
  }

  void save(ByteWriter& out) const override {
    out.put_varint(parts_.codebooks.size());
    out.put_varint(parts_.rotations[0].block());
    if (parts_.coarse != nullptr) parts_.coarse->save(out);
    for (size_t j = 0; j < parts_.codebooks.size(); ++j) {
      out.put_array(parts_.rotations[j].bases().data(), parts_.rotations[j].bases().size());
      parts_.codebooks[j]->save(out);
    }
  }

 private:
  size_t cluster_columns() const { return shape_.cols == 0 ? 0 : 1; }
  size_t code_columns() const { return parts_.codebooks[0]->subspaces(); }

  // Calls body(cluster, rows, values of these rows) for panels of rows that belong to one cluster.
  template <typename Body>
  void by_cluster(MatrixView<const Symbol> clusters, MatrixView<const float> values, const Body& body) const {
    std::vector<std::vector<size_t>> rows(parts_.codebooks.size());
    for (size_t r = 0; r < values.rows(); ++r) rows[clusters(r, 0)].push_back(r);
    Matrix<float> panel = Matrix<float>::uninitialized(std::min(kPanelRows, values.rows()), values.cols());
    for (size_t j = 0; j < rows.size(); ++j) {
      for (size_t first = 0; first < rows[j].size(); first += kPanelRows) {
        const size_t count = std::min(kPanelRows, rows[j].size() - first);
        const std::span<const size_t> some(rows[j].data() + first, count);
        for (size_t i = 0; i < count; ++i) std::copy_n(values.row(some[i]), values.cols(), panel.row(i));
        body(j, some, panel.view().row_range(0, count));
      }
    }
  }

  const Shape shape_;
  const OpqParts parts_;
};

std::unique_ptr<Quantizer> blank(const Params& params, Shape shape) {
  const OpqSizes sizes = choose_opq_sizes(params, shape, {});
  OpqParts parts;
  if (sizes.clusters > 1) {
    parts.coarse = std::make_unique<ProductCodebook>(coarse_params(), shape.cols);
    parts.coarse->clear({std::max<size_t>(1, shape.cols), sizes.clusters});
  }
  for (size_t j = 0; j < sizes.clusters; ++j) {
    parts.rotations.emplace_back(shape.cols, sizes.block,
                                 std::vector<uint16_t>(BlockRotation::numbers(shape.cols, sizes.block)));
    parts.codebooks.push_back(std::make_unique<ProductCodebook>(params, shape.cols));
    parts.codebooks.back()->clear(sizes.codebook);
  }
  return make_opq(shape, std::move(parts));
}

std::unique_ptr<Quantizer> load(const Params& params, Shape shape, ByteReader& side) {
  const uint64_t clusters = side.get_varint(), block = side.get_varint();
  if (clusters == 0 || clusters > 4096 || block == 0 || block > std::max<size_t>(1, shape.cols)) {
    throw_input("{}: expected 1 to 4096 clusters and blocks of 1 to {} columns, found {} and {}", side.what(),
                shape.cols, clusters, block);
  }
  OpqParts parts;
  if (clusters > 1) {
    parts.coarse = std::make_unique<ProductCodebook>(coarse_params(), shape.cols);
    parts.coarse->load(side);
    if (parts.coarse->k() != clusters || parts.coarse->subspaces() > 1) {
      throw_input("{}: expected centroids of {} clusters, found {} in {} subspaces", side.what(), clusters,
                  parts.coarse->k(), parts.coarse->subspaces());
    }
  }
  for (size_t j = 0; j < clusters; ++j) {
    // First checks the size of the whole blocks with operations that cannot overflow. Then numbers() cannot overflow
    // either.
    const size_t available = side.remaining() / sizeof(uint16_t);
    const bool fits = block == 1 || shape.cols / block * block <= available / block;
    const size_t numbers = fits ? BlockRotation::numbers(shape.cols, block) : 0;
    if (!fits || numbers > available) {
      throw_input("{}: expected a rotation of {} columns in blocks of {}, found {} bytes", side.what(), shape.cols,
                  block, side.remaining());
    }
    std::vector<uint16_t> bases(numbers);
    side.get_array(bases.data(), bases.size());
    for (const uint16_t v : bases) {
      if ((v & 0x7fff) > 0x4000) throw_input("{}: expected rotations of magnitude 2 at most, found more", side.what());
    }
    parts.rotations.emplace_back(shape.cols, block, std::move(bases));
    parts.codebooks.push_back(std::make_unique<ProductCodebook>(params, shape.cols));
    parts.codebooks.back()->load(side);
    if (!(parts.codebooks.back()->sizes() == parts.codebooks[0]->sizes())) {
      throw_input("{}: expected codebooks of one size, found others in cluster {}", side.what(), j);
    }
  }
  return make_opq(shape, std::move(parts));
}

}  // namespace

BlockRotation::BlockRotation(size_t cols, size_t block, std::vector<uint16_t> bases)
    : cols_(cols), block_(block), bases_(std::move(bases)) {
  OCC_CHECK(bases_.size() == numbers(cols, block));
  const uint16_t* v = bases_.data();
  each_block([&](size_t, size_t, size_t n) {
    PackedMatrix<float>&encode = encode_.emplace_back(n, n), &decode = decode_.emplace_back(n, n);
    for (size_t j = 0; j < n; ++j) {
      for (size_t k = 0; k < n; ++k) encode.at(j, k) = decode.at(k, j) = f16_to_f32(*v++);
    }
  });
}

size_t BlockRotation::numbers(size_t cols, size_t block) {
  if (block <= 1) return 0;
  const size_t rest = cols % block;
  return cols / block * block * block + (rest > 1 ? rest * rest : 0);
}

template <typename Body>
void BlockRotation::each_block(const Body& body) const {
  for (size_t i = 0; i * block_ < cols_ && block_ > 1; ++i) {
    const size_t n = std::min(block_, cols_ - i * block_);
    if (n > 1) body(i, i * block_, n);
  }
}

void BlockRotation::from(MatrixView<float> y) const {
  each_block([&](size_t i, size_t at, size_t n) {
    const MatrixView<float> part = y.sub({0, at, y.rows(), n});
    Matrix<float> in = Matrix<float>::uninitialized(y.rows(), n);
    for (size_t r = 0; r < y.rows(); ++r) std::copy_n(part.row(r), n, in.row(r));
    ordered_product(in.view(), decode_[i], part);
  });
}

// y = x V. Because V is rounded to f16, it is orthogonal only to about 3e-4, so y is improved twice by y += (x - y V^T)
// V.
void BlockRotation::to(MatrixView<float> x) const {
  each_block([&](size_t i, size_t at, size_t n) {
    const MatrixView<float> part = x.sub({0, at, x.rows(), n});
    Matrix<float> y = Matrix<float>::uninitialized(x.rows(), n), rest = Matrix<float>::uninitialized(x.rows(), n),
                  step = Matrix<float>::uninitialized(x.rows(), n);
    ordered_product(part, encode_[i], y.view());
    for (int iteration = 0; iteration < 2; ++iteration) {
      ordered_product(y.view(), decode_[i], rest.view());
      for (size_t r = 0; r < x.rows(); ++r) {
        for (size_t c = 0; c < n; ++c) rest(r, c) = part(r, c) - rest(r, c);
      }
      ordered_product(rest.view(), encode_[i], step.view());
      for (size_t k = 0; k < y.size(); ++k) y.data()[k] += step.data()[k];
    }
    for (size_t r = 0; r < x.rows(); ++r) std::copy_n(y.row(r), n, part.row(r));
  });
}

Params coarse_params() {
  static constexpr ParamSpec kTable[] = {kCodebookParam, kCodebookBitsParam, kCodebookScaleParam};
  return Params(kTable);
}

OpqSizes choose_opq_sizes(const Params& params, Shape shape, const FitContext& context) {
  OpqSizes sizes;
  if (shape.size() == 0) return sizes;
  sizes.clusters = std::min(static_cast<size_t>(params.integer("clusters")), shape.rows);
  const auto rows = static_cast<double>(shape.rows), cols = static_cast<double>(shape.cols);
  const auto clusters = static_cast<double>(sizes.clusters);
  const auto asked = static_cast<size_t>(params.integer("block"));
  const auto reserved = [&](size_t block) {
    const double rotations = clusters * 16 * static_cast<double>(BlockRotation::numbers(shape.cols, block));
    return rotations + (sizes.clusters > 1 ? clusters * cols * 16 + rows * std::ceil(std::log2(clusters)) : 0.0);
  };
  if (asked != 0) {
    sizes.block = std::min(asked, shape.cols);
  } else {
    // Tries the largest block that a tenth of the bits can pay for, then a half, a quarter, ... of it. The smaller
    // block is used if the codes make better use of the bits.
    const double tenth = 0.1 * params.real("bits") * rows / (16 * clusters);
    const size_t largest = std::min(static_cast<size_t>(std::max(1.0, tenth)), shape.cols);
    double most = -1;
    for (size_t block = largest; block > 0; block /= 2) {
      double value = 0;
      choose_sizes("opq", params, shape, reserved(block), sizes.clusters, {}, &value);
      value += kWorthOfDoubling * std::log2(static_cast<double>(block));
      if (value > most) most = value, sizes.block = block;
    }
    if (largest == 1 && shape.cols > 1) {
      context.report_fallback(fmt::format("opq: a tenth of bits={:.4g} has no room for a rotation of {} x {} weights",
                                          params.real("bits"), shape.rows, shape.cols));
    }
  }
  sizes.codebook = choose_sizes("opq", params, shape, reserved(sizes.block), sizes.clusters, context);
  return sizes;
}

void to_opq_coordinates(const OpqParts& parts, std::span<const Symbol> clusters, MatrixView<float> x) {
  if (parts.coarse != nullptr) {
    Matrix<float> center(1, x.cols());
    for (size_t r = 0; r < x.rows(); ++r) {
      parts.coarse->decode(0, MatrixView<const Symbol>(&clusters[r], 1, 1), center.view());
      for (size_t c = 0; c < x.cols(); ++c) x(r, c) = finite(x(r, c) - center(0, c));
    }
  }
  for (size_t first = 0; first < x.rows();) {  // a run of rows of the same cluster
    size_t end = first + 1;
    while (end < x.rows() && clusters[end] == clusters[first]) ++end;
    parts.rotations[clusters[first]].to(x.row_range(first, end - first));
    first = end;
  }
}

std::unique_ptr<Quantizer> make_opq(Shape shape, OpqParts parts) {
  return std::make_unique<OpqQuantizer>(shape, std::move(parts));
}

QuantizerEntry opq_entry() {
  return {"opq", "product quantization of rotated rows, by cluster of rows", kParams, kPlanes, nullptr, load, blank};
}

}  // namespace occ
