// TRANSFORM: a coordinate system for a weight matrix. forward() maps a matrix x [rows, cols] to one or more real
// matrices, its planes, and inverse() maps them back: inverse(forward(x)) equals x up to float rounding, unless the
// traits say otherwise. A bound transform has all its side information (scales, bases, positions) fixed for one tensor.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/params.h"
#include "occ/matrix.h"
#include "tensor/fit_context.h"

namespace occ {

// What a transform is able to do. The pipeline asks for these traits and never for the name of a transform.
struct TransformTraits {
  bool linear = false;      // forward is a linear map of each row, and transform_hessian() works
  bool isometric = false;   // forward keeps the Euclidean norm of the matrix
  bool row_local = true;    // row r of x depends on row r of the planes only, so that panels of rows can stand alone
  bool refines = false;     // refine() is implemented; the planes are then fitted one after the other
  bool settles = false;     // settle() is implemented
  bool side_grows = false;  // save() writes more for a matrix with more rows
  bool exact = true;        // if false, the planes only approximate x, and forward takes no x but the one given to fit
  // How a product W x with W = inverse(planes) can be computed without forming W. At most one of the three holds.
  bool maps_rows = false;     // there is one plane, and inverse applies one linear map to each of its rows
  bool maps_columns = false;  // inverse applies one linear map to each column (of the planes stacked on each other) and
                              // takes any number of columns
  bool product = false;       // inverse is the matrix product of plane 0 and plane 1
};

class Transform {
 public:
  virtual ~Transform() = default;
  virtual TransformTraits traits() const = 0;
  // Returns the unit of the rectangles of x that forward and inverse take. By default these are any number of whole
  // rows, or all rows if the transform is not row_local.
  virtual Granule granule() const { return {traits().row_local ? size_t{1} : 0, 0}; }
  // Returns the rectangle of plane number `plane` to which the rectangle `at` of x is mapped. By default it is the same
  // rectangle.
  virtual Rect plane_rect(size_t /*plane*/, const Rect& at) const { return at; }

  // Maps x, the rectangle `at` of the tensor, to planes[i], which have the shape of plane_rect(i, at). If there is one
  // plane of the same shape as x, planes[0] may be x itself. Thread-safe.
  virtual void forward(const Rect& at, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const = 0;
  // Maps the planes of the rectangle `at` back to x. planes[0] may be x itself as above. The operations have a fixed
  // order and use no math library, so that every CPU gives the same floats. Thread-safe.
  virtual void inverse(const Rect& at, std::span<const MatrixView<const float>> planes, MatrixView<float> x) const = 0;
  // The adjoint map of inverse: <planes, adjoint(x)> = <inverse(planes), x> for all planes and x. Only if maps_rows
  // (`at` may then have any number of rows) or maps_columns (any number of columns). By default it is forward, which is
  // correct for isometric transforms.
  virtual void adjoint(const Rect& at, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const;
  // Called before plane number `plane` is coded: may change `values`, the plane's content, to suit `decoded`, the
  // planes 0 to plane - 1 as the decoder will see them.
  virtual void refine(const Rect& /*at*/, size_t /*plane*/, std::span<const MatrixView<const float>> /*decoded*/,
                      MatrixView<float> /*values*/) const {}
  // Called after all planes of a rectangle are coded and before inverse: may set side information to what suits the
  // decoded planes best. coded: the planes as forward made them. Thread-safe for rectangles that do not overlap.
  virtual void settle(const Rect& /*at*/, std::span<const MatrixView<const float>> /*coded*/,
                      std::span<const MatrixView<const float>> /*decoded*/) {}
  // Replaces the Hessian H [cols, cols] of rows of x by the Hessian H' of rows of y = forward(x), in place. An error e'
  // in row r of y then costs what its image e = inverse(e') costs in x: e H e^T = error_gain(r) e' H' e'^T. For an
  // orthonormal T and y = x T^T this is H' = T H T^T. Only if linear and row_local.
  virtual void transform_hessian(MatrixView<double> h) const;
  // Returns the factor for row `row` in the equation above. It differs from 1 if rows of x are scaled.
  virtual double error_gain(size_t /*row*/) const { return 1; }
  // Returns the bytes of memory that grow with the tensor.
  virtual uint64_t resident_bytes() const { return 0; }
  // Writes the side information: everything that load() needs besides the parameters and the shape.
  virtual void save(ByteWriter& /*out*/) const {}
};

// A matrix whose coordinate systems an analysis compares.
struct AnalyzedMatrix {
  Shape shape;
  size_t sampled_rows = 0;  // rows that are measured: shape.rows, or fewer that are spread evenly
  bool moments = false;     // whether the second moments of the inputs are known
  uint64_t seed = 0;        // seed of random transforms
};

// For which purposes the compression may choose a transform. It uses these facts and never the names of transforms.
struct TransformRoles {
  // Returns what method `auto` tries before the quantizer for a matrix of this shape: the beginning of a recipe, such
  // as "signs(seed=7) > hadamard", or nothing if it is not worth trying. The trial codes `sampled_rows` rows. Null:
  // `auto` never tries the transform.
  std::string (*candidate)(Shape shape, size_t sampled_rows, uint64_t seed) = nullptr;
  // Whether the output of the candidate has an rms of 1 for every matrix.
  bool unit_rms = false;
  // Returns the stage that scales every row of a matrix of this shape according to the cost of errors in that row
  // (FitContext::row_weights). Null: the transform cannot do that.
  std::string (*by_row_weights)(Shape shape) = nullptr;
  // Only if the side information is one scale per row, by which decoded rows are multiplied; otherwise null. Returns
  // side information in which the scale of row r is multiplied by factors[r] and rounded to a scale that can be stored.
  // It has at most `most` bytes, if `side` has no more: the largest changes are left out if there is no room for them.
  // Input error that begins with `what` if `side` has another number of scales.
  Bytes (*scale_rows)(const Params&, ByteSpan side, std::span<const float> factors, size_t most,
                      const std::string& what) = nullptr;
  // Returns the forms of the transform that `occ analyze` compares for this matrix, each of them the beginning of a
  // recipe. They keep the shape of the matrix. Null: only the candidate is compared, if there is one.
  std::vector<std::string> (*forms)(const AnalyzedMatrix&) = nullptr;
};

// A registered transform.
struct TransformEntry {
  std::string_view name;
  std::string_view summary;  // one line for `occ methods`
  std::span<const ParamSpec> params;
  std::span<const std::string_view> planes;  // names of the planes, or empty if there is only one
  // Makes the transform for the values x of one tensor. Wrong parameters are usage errors. Null for a transform whose
  // encoder needs BLAS; transform_fit() finds its function.
  std::unique_ptr<Transform> (*fit)(const Params&, MatrixView<const float> x, const FitContext&);
  // Makes the transform from stored side information. Input error for bytes that do not fit.
  std::unique_ptr<Transform> (*load)(const Params&, Shape, ByteReader& side);
  // Makes a transform for this shape without values, to predict sizes. Only needed if the size of the side information
  // is not linear in the number of rows.
  std::unique_ptr<Transform> (*blank)(const Params&, Shape) = nullptr;
  TransformRoles roles = {};
};

// All transforms, in the order of `occ methods`.
std::span<const TransformEntry> transform_registry();
// Returns the transform with this name, or null.
const TransformEntry* find_transform(std::string_view name);
// Adds a transform that is not part of the library, under a new name. Only programs that add it can decode what it
// codes. Must be called before anything else: it is not thread-safe, and entries found earlier become invalid. Returns
// the entry.
const TransformEntry& register_transform(const TransformEntry& entry);

// Returns entry.fit, or the function that needs BLAS; never null. Only for encoders (library occ_encode,
// transforms/fit_registry.cc).
using TransformFit = std::unique_ptr<Transform> (*)(const Params&, MatrixView<const float>, const FitContext&);
TransformFit transform_fit(const TransformEntry& entry);
bool transform_fit_needs_blas(std::string_view name);

}  // namespace occ
