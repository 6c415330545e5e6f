#include <array>

#include "base/check.h"
#include "transforms/transform.h"

namespace occ {

std::unique_ptr<Transform> fit_pca(const Params&, MatrixView<const float>, const FitContext&);
std::unique_ptr<Transform> fit_lowrank(const Params&, MatrixView<const float>, const FitContext&);

namespace {

struct BlasFit {
  std::string_view name;
  TransformFit fit;
};
constexpr std::array<BlasFit, 2> kBlasFits = {{{"pca", fit_pca}, {"lowrank", fit_lowrank}}};

TransformFit find_blas_fit(std::string_view name) {
  for (const BlasFit& f : kBlasFits) {
    if (f.name == name) return f.fit;
  }
  return nullptr;
}

}  // namespace

TransformFit transform_fit(const TransformEntry& entry) {
  const TransformFit fit = entry.fit != nullptr ? entry.fit : find_blas_fit(entry.name);
  OCC_CHECK(fit != nullptr);
  return fit;
}

bool transform_fit_needs_blas(std::string_view name) { return find_blas_fit(name) != nullptr; }

}  // namespace occ
