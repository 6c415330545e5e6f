// The three kinds of nodes in the tree of a bound recipe: a leaf (a quantizer with its coders), a transform with its
// children, and a sum of terms.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "entropy/coder.h"
#include "quantization/quantizer.h"
#include "recipe/bound.h"
#include "transforms/transform.h"

namespace occ {

// A leaf is `quantizer > coder` or `quantizer > { plane: coder ; ... }`. Its stored planes are the side information of
// the quantizer and then, for each symbol plane, the tables of the coder and the payload. The payload is the number of
// rows per tile (varint), the number of bytes of every tile (varint), and the tiles.
class LeafNode final : public BoundRecipe {
 public:
  struct PlaneCode {
    SymbolPlane plane;
    Stage coder_stage;
    const CoderEntry* entry = nullptr;
    std::unique_ptr<EntropyCoder> coder;  // set by code() or load()
    Matrix<Symbol> symbols;               // used while encoding
    size_t tile_rows = 0;                 // used while decoding, as are the tiles
    std::vector<ByteSpan> tiles;
  };

  LeafNode(Shape shape, const Chain& chain, std::unique_ptr<Quantizer> quantizer);
  const Quantizer& quantizer() const { return *quantizer_; }
  void allocate_symbols();
  void load_planes(PlaneReader& planes);

  Shape shape() const override { return shape_; }
  Granule granule() const override { return quantizer_->granule(); }
  size_t tile_rows() const override;
  void quantize(const Rect& at, MatrixView<float> values) override;
  void code(const FitContext& ctx, const std::string& path, std::vector<CodedPlane>* planes) override;
  void dequantize(const Rect& at, MatrixView<float> out) const override;

  std::optional<IntegerView> integer_view() const override { return quantizer_->integer_view(); }
  void integers(const Rect& at, MatrixView<int32_t> out) const override;
  void symbols_by_rows(const Rect& at, size_t rows, const SymbolsBody& body) const override;

  const ProductCodes* product_codes() const override { return quantizer_->product_codes(); }
  void codes_of(size_t row, size_t rows, const CodesBody& body) const override {
    with_symbols({row, 0, rows, shape_.cols}, body);
  }

  size_t part_count() const override { return quantizer_->part_count(); }
  void parts(const Rect& at, MatrixView<float> out) const override;
  void part_inputs(MatrixView<const float> x, MatrixView<float> out) const override { quantizer_->part_inputs(x, out); }

 private:
  // Decodes the symbols of the rectangle and calls `body` with one view for each symbol plane.
  void with_symbols(const Rect& at, const CodesBody& body) const;

  Shape shape_;
  std::string stage_name_;
  std::unique_ptr<Quantizer> quantizer_;
  std::vector<PlaneCode> codes_;
};

class TransformNode final : public BoundRecipe {
 public:
  TransformNode(Shape shape, std::string stage_name, std::span<const std::string_view> plane_names,
                std::unique_ptr<Transform> transform, std::vector<std::unique_ptr<BoundRecipe>> children);

  Shape shape() const override { return shape_; }
  Granule granule() const override;
  size_t tile_rows() const override;
  void quantize(const Rect& at, MatrixView<float> values) override;
  void code(const FitContext& ctx, const std::string& path, std::vector<CodedPlane>* planes) override;
  void dequantize(const Rect& at, MatrixView<float> out) const override;
  size_t panel_rows() const override;
  bool weighted_errors(std::span<double> rows) const override;

  const Transform& transform() const { return *transform_; }
  // Move the transform and the children out of the node, for operators that use them in structures of their own.
  std::unique_ptr<Transform> take_transform() { return std::move(transform_); }
  std::vector<std::unique_ptr<BoundRecipe>> take_children() { return std::move(children_); }

 private:
  Shape shape_;
  std::string stage_name_;
  std::span<const std::string_view> plane_names_;  // empty if there is only one plane
  std::unique_ptr<Transform> transform_;
  std::vector<std::unique_ptr<BoundRecipe>> children_;
};

class SumNode final : public BoundRecipe {
 public:
  explicit SumNode(std::vector<std::unique_ptr<BoundRecipe>> terms) : terms_(std::move(terms)) {}
  std::vector<std::unique_ptr<BoundRecipe>> take_terms() { return std::move(terms_); }

  Shape shape() const override { return terms_[0]->shape(); }
  Granule granule() const override;
  size_t tile_rows() const override;
  void quantize(const Rect& at, MatrixView<float> values) override;
  void code(const FitContext& ctx, const std::string& path, std::vector<CodedPlane>* planes) override;
  void dequantize(const Rect& at, MatrixView<float> out) const override;
  size_t panel_rows() const override;
  bool weighted_errors(std::span<double> rows) const override { return terms_.back()->weighted_errors(rows); }

 private:
  std::vector<std::unique_ptr<BoundRecipe>> terms_;
};

// Returns the number of transforms at the start of a chain. These are all stages if the chain ends with the branches of
// a transform, otherwise the stages before the quantizer.
size_t num_transforms(const Chain& chain);
// Returns the path of a stored plane below a branch.
std::string join_path(const std::string& path, const std::string& name);
// Whether error feedback can work on y = forward(x) with the transformed H. For this the transform must be linear in
// every row, and y must be one plane of the same shape or several planes that divide the rows among them.
bool carries_hessian(const Transform& transform, size_t num_planes, Shape shape);
// Returns the smallest granule that is valid for both.
Granule combine(const Granule& a, const Granule& b);

}  // namespace occ
