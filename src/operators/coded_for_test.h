// A matrix through the encoder, ready to be loaded as often as one likes. For tests and benchmarks.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "recipe/bound.h"

namespace occ {

class CodedForTest {
 public:
  CodedForTest(const Recipe& recipe, MatrixView<const float> x, const FitContext& ctx = {})
      : decoded(x.rows(), x.cols()), recipe_(recipe) {
    const auto bound = fit_recipe(recipe, MatrixSource(x), ctx);
    for (size_t r = 0; r < x.rows() && x.cols() != 0; ++r) std::copy_n(x.row(r), x.cols(), decoded.row(r));
    bound->quantize({0, 0, x.rows(), x.cols()}, decoded.view());
    bound->code(ctx, "", &planes_);
  }
  // Must not outlive this.
  std::unique_ptr<BoundRecipe> load() const {
    std::vector<ByteSpan> spans;
    for (const CodedPlane& p : planes_) spans.emplace_back(p.bytes);
    PlaneReader reader(spans, "test");
    auto bound = load_recipe(recipe_, decoded.shape(), reader);
    reader.expect_done();
    return bound;
  }
  size_t bytes() const {
    size_t bytes = 0;
    for (const CodedPlane& p : planes_) bytes += p.bytes.size();
    return bytes;
  }

  Matrix<float> decoded;

 private:
  Recipe recipe_;
  std::vector<CodedPlane> planes_;
};

}  // namespace occ
