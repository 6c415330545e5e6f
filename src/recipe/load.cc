#include "base/check.h"
#include "base/error.h"
#include "recipe/nodes.h"

namespace occ {
namespace {

void append_names(const Recipe& recipe, const std::string& path, std::vector<std::string>* names);

void append_names(const Chain& chain, const std::string& path, std::vector<std::string>* names) {
  const size_t transforms = num_transforms(chain);
  for (size_t i = 0; i < transforms; ++i) names->push_back(join_path(path, chain.stages[i].name));
  if (transforms == chain.stages.size()) {
    for (const Branch& b : chain.branches) append_names(b.recipe, join_path(path, b.name), names);
    return;
  }
  const Stage& quantizer = chain.stages[transforms];
  names->push_back(join_path(path, quantizer.name));
  const auto planes = find_quantizer(quantizer.name)->planes;
  for (size_t i = 0; i < planes.size(); ++i) {
    const std::string plane(planes[i]);
    const std::string& coder =
        chain.branches.empty() ? chain.stages.back().name : chain.branches[i].recipe.terms[0].stages[0].name;
    names->push_back(join_path(path, plane + "." + coder));
    names->push_back(join_path(path, plane));
  }
}

void append_names(const Recipe& recipe, const std::string& path, std::vector<std::string>* names) {
  for (size_t i = 0; i < recipe.terms.size(); ++i) {
    append_names(recipe.terms[i], recipe.terms.size() == 1 ? path : join_path(path, "term" + std::to_string(i)), names);
  }
}

std::unique_ptr<BoundRecipe> load_chain(const Chain& chain, size_t stage, Shape shape, PlaneReader& planes) {
  const Stage& s = chain.stages[stage];
  ByteReader side = planes.next(s.name);
  if (stage == num_transforms(chain)) {
    std::unique_ptr<Quantizer> quantizer = find_quantizer(s.name)->load(s.params, shape, side);
    side.expect_done();
    auto leaf = std::make_unique<LeafNode>(shape, chain, std::move(quantizer));
    leaf->load_planes(planes);
    return leaf;
  }
  const TransformEntry* entry = find_transform(s.name);
  std::unique_ptr<Transform> transform = entry->load(s.params, shape, side);
  side.expect_done();
  const Rect all{0, 0, shape.rows, shape.cols};
  std::vector<std::unique_ptr<BoundRecipe>> children;
  if (entry->planes.empty()) {
    children.push_back(load_chain(chain, stage + 1, transform->plane_rect(0, all).shape(), planes));
  }
  for (size_t i = 0; i < entry->planes.size(); ++i) {
    children.push_back(load_recipe(chain.branches[i].recipe, transform->plane_rect(i, all).shape(), planes));
  }
  return std::make_unique<TransformNode>(shape, s.name, entry->planes, std::move(transform), std::move(children));
}

}  // namespace

ByteReader PlaneReader::next(const std::string& name) {
  if (at_ == planes_.size()) {
    throw_input("{}: expected a plane for '{}', found only {} planes", what_, name, planes_.size());
  }
  return ByteReader(planes_[at_++], what_ + ": plane '" + name + "'");
}

void PlaneReader::expect_done() const {
  if (at_ != planes_.size()) throw_input("{}: expected {} planes, found {}", what_, at_, planes_.size());
}

// These must not be called, because integer_view() and product_codes() return nothing and part_count() is 1.
void BoundRecipe::integers(const Rect&, MatrixView<int32_t>) const { OCC_CHECK(false); }
void BoundRecipe::codes_of(size_t, size_t, const CodesBody&) const { OCC_CHECK(false); }
void BoundRecipe::parts(const Rect&, MatrixView<float>) const { OCC_CHECK(false); }
void BoundRecipe::part_inputs(MatrixView<const float>, MatrixView<float>) const { OCC_CHECK(false); }
void BoundRecipe::symbols_by_rows(const Rect&, size_t, const SymbolsBody&) const { OCC_CHECK(false); }

size_t num_transforms(const Chain& chain) {
  size_t n = 0;
  while (n < chain.stages.size() && find_transform(chain.stages[n].name) != nullptr) ++n;
  return n;
}

std::vector<std::string> plane_names(const Recipe& recipe) {
  std::vector<std::string> names;
  append_names(recipe, "", &names);
  return names;
}

std::unique_ptr<BoundRecipe> load_recipe(const Recipe& recipe, Shape shape, PlaneReader& planes) {
  std::vector<std::unique_ptr<BoundRecipe>> terms;
  for (const Chain& chain : recipe.terms) terms.push_back(load_chain(chain, 0, shape, planes));
  return terms.size() == 1 ? std::move(terms[0]) : std::make_unique<SumNode>(std::move(terms));
}

}  // namespace occ
