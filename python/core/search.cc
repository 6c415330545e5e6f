// Searching the vectors of archives.
#include "occ/search.h"

#include "caller.h"
#include "module.h"

namespace nb = nanobind;

namespace occ::python {
namespace {

using Queries = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Ids = nb::ndarray<nb::numpy, uint64_t, nb::ndim<2>, nb::c_contig>;

struct Index {
  VectorIndex index;
  explicit Index(const std::vector<std::filesystem::path>& paths) : index(VectorIndex::open(paths)) {}
};

Ids to_ids(Matrix<uint64_t> matrix) {
  auto* owned = new Matrix<uint64_t>(std::move(matrix));
  const nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<Matrix<uint64_t>*>(p); });
  return Ids(owned->data(), {owned->rows(), owned->cols()}, owner);
}

// The ids [queries, k] and distances of the nearest vectors.
std::pair<Ids, Array> search(const Index& i, const Queries& queries, size_t k, int metric) {
  const MatrixView<const float> view(queries.data(), queries.shape(0), queries.shape(1));
  Neighbours found;
  Caller().run([&] { found = i.index.search(view, k, static_cast<Metric>(metric)); });
  return {to_ids(std::move(found.ids)), to_array(std::move(found.distances))};
}

Array read(const Index& i, const std::vector<uint64_t>& ids) {
  Matrix<float> out = Matrix<float>::uninitialized(ids.size(), i.index.dimension());
  Caller().run([&] { i.index.read(ids, out.view()); });
  return to_array(std::move(out));
}

}  // namespace

void add_search(nb::module_& m) {
  nb::class_<Index>(m, "VectorIndex")
      .def(nb::init<const std::vector<std::filesystem::path>&>())
      .def("__len__", [](const Index& i) { return i.index.size(); })
      .def_prop_ro("dimension", [](const Index& i) { return i.index.dimension(); })
      .def_prop_ro("kinds", [](const Index& i) { return i.index.kinds(); })
      .def("search", &search)
      .def("read", &read);
}

}  // namespace occ::python
