// The stage `pca`: coordinates along the eigenvectors of the second moments of the columns (principal component
// analysis without centring, the Karhunen-Loeve transform of the rows), or with of=hessian along those of the Hessian H
// = E[x x^T] of the inputs. Components are sorted by falling eigenvalue. With `block`, every block of columns has its
// own basis.
//
//   decode   x = y V^T,  V [cols, cols] stored as f16, which costs 16 cols / rows bits per weight
//   forward  y = x V^-T. Rounded to f16, V is orthogonal only to about 3e-4, so y = x V is improved twice by
//            y += (x - y V^T) V. Each step gains three digits, and decode(forward(x)) equals x to float precision.
//   Hessian  x^T H x = y^T (V^T H V) y
//
// Cost: cols multiply-adds per element to decode, five times that forward; the fit is one eigendecomposition
// (pca_fit.cc). Sums have a fixed order (simd/product.h).
#include "transforms/pca.h"

#include <algorithm>
#include <array>

#include "base/lazy.h"
#include "simd/product.h"
#include "tensor/dtype.h"
#include "transforms/axis.h"

namespace occ {
namespace {

constexpr std::array<ParamSpec, 2> kParams = {
    int_param("block", "0", 0, 1 << 24, "columns per basis, 0: one basis for all columns"),
    choice_param("of", "data", "data|hessian", "eigenvectors of the second moments of the columns or of the inputs")};

constexpr size_t kPanelRows = 64;  // the basis is read through the cache once per panel

class Pca final : public Transform {
 public:
  Pca(const PcaBlocks& blocks, std::span<const uint16_t> bases) : blocks_(blocks) {
    const uint16_t* v = bases.data();
    for (size_t i = 0; i < blocks.count(); ++i) {
      const size_t n = blocks.length(i);
      PackedMatrix<float>& to = decode_.emplace_back(n, n);
      for (size_t j = 0; j < n; ++j) {
        for (size_t k = 0; k < n; ++k) to.at(k, j) = f16_to_f32(*v++);
      }
    }
    OCC_CHECK(v == bases.data() + bases.size());
  }
  // V is rounded, so the transform is only approximately isometric.
  TransformTraits traits() const override { return {.linear = true, .maps_rows = true}; }

  void forward(const Rect&, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const override {
    const Matrices& encode = this->encode();
    const size_t rows = std::min(kPanelRows, x.rows()), widest = blocks_.count() == 0 ? 0 : blocks_.length(0);
    Matrix<float> in = Matrix<float>::uninitialized(rows, widest);
    Matrix<float> rest = Matrix<float>::uninitialized(rows, widest);
    Matrix<float> step = Matrix<float>::uninitialized(rows, widest);
    for_each_tile(x, planes[0], [&](size_t block, MatrixView<const float> from, MatrixView<float> y) {
      const Rect at{0, 0, from.rows(), from.cols()};
      const MatrixView<float> x0 = in.view().sub(at), r = rest.view().sub(at), dy = step.view().sub(at);
      copy_matrix(from, x0);
      ordered_product(x0, encode[block], y);
      for (int iteration = 0; iteration < 2; ++iteration) {
        ordered_product(y, decode_[block], r);
        each(r, x0, [](float& a, float b) { a = b - a; });
        ordered_product(r, encode[block], dy);
        each(y, dy, [](float& a, float b) { a += b; });
      }
    });
  }
  void inverse(const Rect&, std::span<const MatrixView<const float>> planes, MatrixView<float> x) const override {
    const size_t rows = std::min(kPanelRows, x.rows()), widest = blocks_.count() == 0 ? 0 : blocks_.length(0);
    Matrix<float> in = Matrix<float>::uninitialized(rows, widest);
    for_each_tile(planes[0], x, [&](size_t block, MatrixView<const float> from, MatrixView<float> to) {
      const MatrixView<float> y = in.view().sub({0, 0, from.rows(), from.cols()});
      copy_matrix(from, y);
      ordered_product(y, decode_[block], to);
    });
  }
  // Computes x V, the first step of forward.
  void adjoint(const Rect&, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const override {
    const Matrices& encode = this->encode();
    const size_t rows = std::min(kPanelRows, x.rows()), widest = blocks_.count() == 0 ? 0 : blocks_.length(0);
    Matrix<float> in = Matrix<float>::uninitialized(rows, widest);
    for_each_tile(x, planes[0], [&](size_t block, MatrixView<const float> from, MatrixView<float> to) {
      const MatrixView<float> values = in.view().sub({0, 0, from.rows(), from.cols()});
      copy_matrix(from, values);
      ordered_product(values, encode[block], to);
    });
  }
  void transform_hessian(MatrixView<double> h) const override {
    OCC_CHECK(h.rows() == blocks_.cols());
    std::vector<PackedMatrix<double>> bases;
    for (const PackedMatrix<float>& d : decode_) bases.push_back(transposed<double>(d));
    Matrix<double> in = Matrix<double>::uninitialized(kPanelRows, blocks_.count() == 0 ? 0 : blocks_.length(0));
    congruence(h, [&](MatrixView<double> m) {
      for_each_tile<double>(m, m, [&](size_t block, MatrixView<const double> from, MatrixView<double> to) {
        const MatrixView<double> x = in.view().sub({0, 0, from.rows(), from.cols()});
        copy_matrix(from, x);
        ordered_product(x, bases[block], to);
      });
    });
  }
  // Counts the memory of both directions, although encode_ may never be made.
  uint64_t resident_bytes() const override {
    uint64_t bytes = 0;
    for (const PackedMatrix<float>& d : decode_) bytes += 2 * sizeof(float) * d.k() * d.n();
    return bytes;
  }
  void save(ByteWriter& out) const override {
    for (const PackedMatrix<float>& d : decode_) {
      std::vector<uint16_t> row(d.n());
      for (size_t j = 0; j < d.n(); ++j) {
        for (size_t k = 0; k < d.k(); ++k) row[k] = f32_to_f16(d.at(k, j));
        out.put_array(row.data(), row.size());
      }
    }
  }

 private:
  using Matrices = std::vector<PackedMatrix<float>>;
  const Matrices& encode() const {
    return encode_.get([&] {
      Matrices made;
      for (const PackedMatrix<float>& d : decode_) made.push_back(transposed<float>(d));
      return made;
    });
  }

  template <typename T>
  static PackedMatrix<T> transposed(const PackedMatrix<float>& d) {
    PackedMatrix<T> out(d.n(), d.k());
    for (size_t r = 0; r < d.n(); ++r) {
      for (size_t c = 0; c < d.k(); ++c) out.at(r, c) = static_cast<T>(d.at(c, r));
    }
    return out;
  }

  // Calls body for pairs of elements of a and b, which have the same shape.
  template <typename Body>
  static void each(MatrixView<float> a, MatrixView<const float> b, const Body& body) {
    for (size_t r = 0; r < a.rows(); ++r) {
      for (size_t c = 0; c < a.cols(); ++c) body(a(r, c), b(r, c));
    }
  }

  template <typename T, typename Body>
  void for_each_tile(MatrixView<const T> from, MatrixView<T> to, const Body& body) const {
    OCC_CHECK(from.cols() == blocks_.cols());
    for (size_t r = 0; r < from.rows(); r += kPanelRows) {
      const size_t rows = std::min(kPanelRows, from.rows() - r);
      for (size_t i = 0; i < blocks_.count(); ++i) {
        const Rect at{r, blocks_.offset(i), rows, blocks_.length(i)};
        body(i, from.sub(at), to.sub(at));
      }
    }
  }

  PcaBlocks blocks_;
  Matrices decode_;        // for each block V^T [k, j]
  Lazy<Matrices> encode_;  // for each block V
};

std::unique_ptr<Transform> load(const Params& params, Shape shape, ByteReader& side) {
  const PcaBlocks blocks(params, shape.cols);
  // The number of bytes that are left limits the sizes before they are multiplied: a column needs at least one f16.
  const uint64_t available = side.remaining() / sizeof(uint16_t);
  uint64_t needed = 0;
  if (shape.cols <= available) {
    for (size_t i = 0; i < blocks.count() && needed <= available; ++i) {
      const uint64_t n = blocks.length(i);
      needed = n > available / n ? available + 1 : needed + n * n;
    }
  }
  if (shape.cols > available || needed > available) {
    throw_input("{}: pca expects bases of {} columns, found only {} bytes", side.what(), shape.cols, side.remaining());
  }
  std::vector<uint16_t> bases(needed);
  side.get_array(bases.data(), bases.size());
  for (const uint16_t v : bases) {
    if ((v & 0x7c00) == 0x7c00)
      throw_input("{}: pca expects finite numbers in its basis, found Inf or NaN", side.what());
  }
  return make_pca(blocks, bases);
}

constexpr size_t kMostColumns = 1024;  // the time of a fit grows with their third power

// A basis for all columns costs 16 cols / rows bits per weight, and a trial needs enough rows to measure the gain.
std::string candidate(Shape shape, size_t sampled_rows, uint64_t) {
  const bool worth_it = shape.cols <= kMostColumns && shape.rows >= 16 * shape.cols && sampled_rows >= 4 * shape.cols;
  return worth_it ? "pca" : "";
}

// A basis that is fitted to only a few sampled rows promises too much gain. Small blocks need few rows.
std::vector<std::string> forms(const AnalyzedMatrix& m) {
  std::vector<std::string> out;
  const size_t cols = m.shape.cols;
  const bool enough_rows = m.sampled_rows == m.shape.rows || m.sampled_rows >= 16 * cols;
  if (cols >= 2 && cols <= kMostColumns && enough_rows) out.emplace_back("pca");
  if (cols > 16) out.emplace_back("pca(block=16)");
  if (m.moments && cols >= 2 && cols <= kMostColumns) out.emplace_back("pca(of=hessian)");
  return out;
}

}  // namespace

PcaBlocks::PcaBlocks(const Params& params, size_t cols)
    : cols_(cols), block_(static_cast<size_t>(params.integer("block"))) {
  if (block_ == 0 || block_ > cols) block_ = cols;
}

std::unique_ptr<Transform> make_pca(const PcaBlocks& blocks, std::span<const uint16_t> bases) {
  return std::make_unique<Pca>(blocks, bases);
}

TransformEntry pca_entry() {
  return {.name = "pca",
          .summary = "eigenvectors of the data or of the Hessian, stored as f16",
          .params = kParams,
          .planes = {},
          .fit = nullptr,
          .load = load,
          .roles = {.candidate = candidate, .forms = forms}};
}

}  // namespace occ
