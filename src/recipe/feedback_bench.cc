// Measures, on one core, error feedback around a child that copies or quantizes, in bytes of f32 weights per second.
// Also measures the factorisation of the second moments, which is done once per tensor, in bytes of the weights of a
// square matrix.
#include <benchmark/benchmark.h>

#include <cmath>

#include "base/parallel.h"
#include "base/rng.h"
#include "recipe/feedback_node.h"

namespace occ {
namespace {

// Leaves every column as it is, so that only the loop of the feedback is measured.
class Nothing final : public BoundRecipe {
 public:
  explicit Nothing(Shape shape) : shape_(shape) {}
  Shape shape() const override { return shape_; }
  Granule granule() const override { return {1, 1}; }
  size_t tile_rows() const override { return 1; }
  void quantize(const Rect&, MatrixView<float>) override {}
  void code(const FitContext&, const std::string&, std::vector<CodedPlane>*) override {}
  void dequantize(const Rect&, MatrixView<float>) const override {}

 private:
  Shape shape_;
};

Matrix<double> correlated(size_t n) {
  Matrix<double> h(n, n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) h(i, j) = std::pow(0.9, std::abs(double(i) - double(j))) + (i == j ? 0.05 : 0);
  }
  return h;
}

void set_bytes(benchmark::State& state, size_t elements) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * elements * sizeof(float)));
}

void factor(benchmark::State& state) {
  const ThreadLimit one(1);
  const Matrix<double> h = correlated(static_cast<size_t>(state.range(0)));
  FitContext ctx;
  ctx.hessian = h.view();
  for (auto _ : state) benchmark::DoNotOptimize(factor_for_feedback(ctx));
  set_bytes(state, h.size());
}

// range(1) selects the child: 2 is a trellis of 8 states, 1 a uniform quantizer with a scale per column, 0 no
// quantizer.
void feedback(benchmark::State& state) {
  const ThreadLimit one(1);
  const auto n = static_cast<size_t>(state.range(0));
  Matrix<float> w(n, n);
  Rng rng(1);
  for (size_t i = 0; i < w.size(); ++i) w.data()[i] = static_cast<float>(rng.normal());
  const Matrix<double> h = correlated(n);
  FitContext ctx;
  ctx.hessian = h.view();
  std::unique_ptr<BoundRecipe> child;
  if (state.range(1) == 0) {
    child = std::make_unique<Nothing>(w.shape());
  } else if (state.range(1) == 1) {
    child = fit_recipe(Recipe::parse("uniform > bitpack"), MatrixSource(w.view()), {});
  }
  std::optional<FeedbackFactor> factor = factor_for_feedback(ctx);
  if (state.range(1) == 2) {
    ctx.feedback_scales = factor->scales;
    ctx.feedback = false;  // the benchmark makes the FeedbackNode itself
    child = fit_recipe(Recipe::parse("trellis(step=0.3) > rans"), MatrixSource(w.view()), ctx);
  }
  FeedbackNode node(std::move(child), std::move(*factor));
  for (auto _ : state) node.quantize({0, 0, n, n}, w.view());
  set_bytes(state, w.size());
}

BENCHMARK(factor)->Arg(1024)->Arg(4096)->Unit(benchmark::kMillisecond);
BENCHMARK(feedback)->ArgsProduct({{1024, 4096}, {0, 1, 2}})->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace occ
