// The stage `split`: the first rows and all other rows become two planes with a recipe each. Methods of fixed code
// width use it to meet a given size: they code some rows with one more bit than the others.
#include <array>

#include "transforms/axis.h"

namespace occ {
namespace {

constexpr std::array<ParamSpec, 1> kParams = {int_param("rows", "0", 0, 9007199254740991.0, "rows of the first plane")};
constexpr std::array<std::string_view, 2> kPlanes = {"head", "tail"};

class Split final : public Transform {
 public:
  Split(const Params& params, Shape shape, ErrorKind kind) : rows_(size_t(params.integer("rows"))) {
    if (rows_ <= shape.rows) return;
    throw Error(kind, fmt::format("split: expects rows up to the {} rows of the matrix, found {}", shape.rows, rows_));
  }
  TransformTraits traits() const override { return {.linear = true, .isometric = true, .maps_columns = true}; }
  Granule granule() const override { return {1, 1}; }
  Rect plane_rect(size_t plane, const Rect& at) const override {
    const size_t first = at.row, end = at.row + at.rows;
    if (plane == 0) {
      const size_t row = std::min(first, rows_);
      return {row, at.col, std::min(end, rows_) - row, at.cols};
    }
    const size_t row = std::max(first, rows_);
    return {row - rows_, at.col, std::max(end, rows_) - row, at.cols};
  }
  void forward(const Rect& at, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const override {
    const size_t head = plane_rect(0, at).rows;
    copy_matrix(x.row_range(0, head), planes[0]);
    copy_matrix(x.row_range(head, x.rows() - head), planes[1]);
  }
  void inverse(const Rect& at, std::span<const MatrixView<const float>> planes, MatrixView<float> x) const override {
    const size_t head = plane_rect(0, at).rows;
    copy_matrix(planes[0], x.row_range(0, head));
    copy_matrix(planes[1], x.row_range(head, x.rows() - head));
  }
  void transform_hessian(MatrixView<double>) const override {}

 private:
  size_t rows_;
};

}  // namespace

TransformEntry split_entry() {
  return {"split",
          "the first rows and the other rows, each with a recipe of its own",
          kParams,
          kPlanes,
          fit_by_shape<Split>,
          load_by_shape<Split>,
          [](const Params& params, Shape shape) -> std::unique_ptr<Transform> {
            return std::make_unique<Split>(params, shape, ErrorKind::kUsage);
          }};
}

}  // namespace occ
