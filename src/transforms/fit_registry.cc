#include <array>

#include "base/check.h"
#include "transforms/first_term.h"
#include "transforms/transform.h"

namespace occ {

std::unique_ptr<Transform> fit_pca(const Params&, MatrixView<const float>, const FitContext&);
std::unique_ptr<Transform> fit_lowrank(const Params&, MatrixView<const float>, const FitContext&);
FirstTerm find_lowrank_term(const FirstTermQuery&, const FitContext&);

namespace {

struct BlasFit {
  std::string_view name;
  TransformFit fit;
  FirstTermSearch first_term;
};
constexpr std::array<BlasFit, 2> kBlasFits = {{{"pca", fit_pca, nullptr}, {"lowrank", fit_lowrank, find_lowrank_term}}};

const BlasFit* find_blas_fit(std::string_view name) {
  for (const BlasFit& f : kBlasFits) {
    if (f.name == name) return &f;
  }
  return nullptr;
}

}  // namespace

TransformFit transform_fit(const TransformEntry& entry) {
  if (entry.fit != nullptr) return entry.fit;
  const BlasFit* found = find_blas_fit(entry.name);
  OCC_CHECK(found != nullptr);
  return found->fit;
}

FirstTermSearch first_term_search(const TransformEntry& entry) {
  const BlasFit* found = find_blas_fit(entry.name);
  return found != nullptr ? found->first_term : nullptr;
}

bool transform_fit_needs_blas(std::string_view name) { return find_blas_fit(name) != nullptr; }

}  // namespace occ
