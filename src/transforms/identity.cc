// The stage `identity`: y = x, for recipes without a transform.
#include "transforms/axis.h"

namespace occ {
namespace {

class Identity final : public Transform {
 public:
  Identity(const Params&, Shape, ErrorKind) {}
  TransformTraits traits() const override { return {.linear = true, .isometric = true, .maps_rows = true}; }
  Granule granule() const override { return {1, 1}; }
  void forward(const Rect&, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const override {
    copy_matrix(x, planes[0]);
  }
  void inverse(const Rect&, std::span<const MatrixView<const float>> planes, MatrixView<float> x) const override {
    copy_matrix(planes[0], x);
  }
  void transform_hessian(MatrixView<double>) const override {}
};

}  // namespace

TransformEntry identity_entry() {
  return {"identity", "the values as they are", {}, {}, fit_by_shape<Identity>, load_by_shape<Identity>};
}

}  // namespace occ
