// The parts of the extension module. Each function adds its classes and functions to the module.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/function.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <utility>

#include "occ/matrix.h"

namespace occ::python {

void add_compress(nanobind::module_& m);
void add_archive(nanobind::module_& m);
void add_models(nanobind::module_& m);
void add_search(nanobind::module_& m);

using Array = nanobind::ndarray<nanobind::numpy, float, nanobind::ndim<2>, nanobind::c_contig>;

// The matrix [rows, cols] as an array that owns it.
inline Array to_array(Matrix<float> matrix) {
  auto* owned = new Matrix<float>(std::move(matrix));
  const nanobind::capsule owner(owned, [](void* p) noexcept { delete static_cast<Matrix<float>*>(p); });
  return Array(owned->data(), {owned->rows(), owned->cols()}, owner);
}

}  // namespace occ::python
