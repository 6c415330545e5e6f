// TRANSFORM: a coordinate system. y = forward(x) has one or more real planes; inverse(forward(x)) == x within float
// rounding, unless the traits say otherwise. A bound transform has all its side information fixed for one tensor.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/params.h"
#include "occ/matrix.h"
#include "tensor/fit_context.h"

namespace occ {

struct TransformTraits {
  bool linear = false;     // forward is a linear map of each row; transform_hessian() works
  bool isometric = false;  // keeps norms
  bool row_local = true;   // a row of x depends on that row of the planes only, so that row panels stand alone
  bool refines = false;    // refine() does something: children are fitted one after the other
  bool settles = false;    // settle() does something
  bool exact = true;       // if not, planes approximate the values given to fit, the only ones that forward takes
  // What a product W x with W = inverse(planes) can do in place of inverse; at most one of the three.
  bool maps_rows = false;     // inverse is a linear map of each row, the same for all rows; one plane
  bool maps_columns = false;  // inverse is a linear map of each column (the planes' below each other), the same for all
                              // columns, and takes any number of them
  bool product = false;       // inverse is the product of planes 0 and 1
};

class Transform {
 public:
  virtual ~Transform() = default;
  virtual TransformTraits traits() const = 0;
  // Rectangles of x that forward and inverse take. Default: whole rows, any number of them; all rows if not row_local.
  virtual Granule granule() const { return {traits().row_local ? size_t{1} : 0, 0}; }
  // The rectangle of plane i that the rectangle `at` of x becomes. Default: the same one.
  virtual Rect plane_rect(size_t /*plane*/, const Rect& at) const { return at; }

  // x is the rectangle `at` of the tensor; planes[i] has the shape of plane_rect(i, at). With one plane of the shape of
  // x, planes[0] may be x itself. Thread-safe.
  virtual void forward(const Rect& at, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const = 0;
  // Fixed order of operations, no libm: gives the same floats on every CPU. planes[0] may be x itself as above.
  virtual void inverse(const Rect& at, std::span<const MatrixView<const float>> planes, MatrixView<float> x) const = 0;
  // The adjoint of inverse, <planes, adjoint(x)> = <inverse(planes), x>, if traits().maps_rows (`at` may have any
  // number of rows) or maps_columns (any number of columns). Default: forward, which is its adjoint where it is
  // isometric.
  virtual void adjoint(const Rect& at, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const;
  // Called before plane i is coded, with planes 0 .. i-1 as they will be decoded: may change what plane i should hold.
  virtual void refine(const Rect& /*at*/, size_t /*plane*/, std::span<const MatrixView<const float>> /*decoded*/,
                      MatrixView<float> /*values*/) const {}
  // Called after the planes of a rectangle are coded, before inverse: side information may be set to what suits their
  // decoded values. coded: what forward gave. Thread-safe for disjoint rectangles.
  virtual void settle(const Rect& /*at*/, std::span<const MatrixView<const float>> /*coded*/,
                      std::span<const MatrixView<const float>> /*decoded*/) {}
  // H of x becomes H of y, in place, such that an error e_y of a row of y costs what it costs in x:
  // e_x H e_x^T = gain e_y H_y e_y^T for e_x = inverse(e_y), gain = error_gain(row). For y = x T^T, T orthonormal:
  // H_y = T H T^T.
  // Only if traits().linear and row_local.
  virtual void transform_hessian(MatrixView<double> h) const;
  // See there; not 1 where rows of x are scaled.
  virtual double error_gain(size_t /*row*/) const { return 1; }
  // Memory that grows with the tensor.
  virtual uint64_t resident_bytes() const { return 0; }
  // Side information, all that load() needs besides params and shape.
  virtual void save(ByteWriter& /*out*/) const {}
};

struct TransformEntry {
  std::string_view name;
  std::string_view summary;  // one line for `occ methods`
  std::span<const ParamSpec> params;
  std::span<const std::string_view> planes;  // names of its planes if it splits; empty: one plane
  // Binds to the values x of one tensor. Null for a stage whose encoder needs BLAS: see fit_registry.h.
  std::unique_ptr<Transform> (*fit)(const Params&, MatrixView<const float> x, const FitContext&);
  // Rebuilds from side information. Throws input errors on anything that does not fit.
  std::unique_ptr<Transform> (*load)(const Params&, Shape, ByteReader& side);
  // One of that shape with nothing fitted, to tell sizes: where side information is not linear in the number of rows.
  std::unique_ptr<Transform> (*blank)(const Params&, Shape) = nullptr;
};

// All of them, in the order of `occ methods`.
std::span<const TransformEntry> transform_registry();
const TransformEntry* find_transform(std::string_view name);

// Encoder side only (library occ_encode): entries whose fit needs linalg. Defined in transforms/fit_registry.cc.
using TransformFit = std::unique_ptr<Transform> (*)(const Params&, MatrixView<const float>, const FitContext&);
TransformFit transform_fit(const TransformEntry& entry);  // entry.fit or the BLAS-bound one; never null
bool transform_fit_needs_blas(std::string_view name);

}  // namespace occ
