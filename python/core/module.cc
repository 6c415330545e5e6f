// The extension module occ._core: what the Python package needs of the C++ libraries. python/occ/ is the public side.
#include "module.h"

#include "occ/error.h"

namespace occ::python {
namespace {

PyObject* g_errors[3];  // by ErrorKind

PyObject* make_error(nanobind::module_& m, const char* name, const char* doc, nanobind::handle bases) {
  const std::string full = std::string("occ.") + name;
  PyObject* type = PyErr_NewExceptionWithDoc(full.c_str(), doc, bases.ptr(), nullptr);
  if (type == nullptr) throw nanobind::python_error();
  m.attr(name) = nanobind::handle(type);
  return type;
}

void add_errors(nanobind::module_& m) {
  namespace nb = nanobind;
  const nb::handle base = make_error(m, "Error", "What this package raises.", PyExc_Exception);
  const auto with = [&](PyObject* other) { return nb::make_tuple(base, nb::handle(other)); };
  const auto index = [](ErrorKind kind) { return static_cast<size_t>(kind); };
  g_errors[index(ErrorKind::kFailed)] =
      make_error(m, "FailedError", "The machine or the run failed: disk, memory, an output that exists.", base);
  g_errors[index(ErrorKind::kUsage)] =
      make_error(m, "UsageError", "The arguments contradict each other or make no sense.", with(PyExc_ValueError));
  g_errors[index(ErrorKind::kInput)] =
      make_error(m, "InputError", "A file is damaged or not supported.", with(PyExc_ValueError));
  nb::register_exception_translator([](const std::exception_ptr& p, void*) {
    try {
      std::rethrow_exception(p);
    } catch (const Error& e) {
      PyErr_SetString(g_errors[static_cast<size_t>(e.kind())], e.what());
    }
  });
}

}  // namespace
}  // namespace occ::python

NB_MODULE(_core, m) {
  occ::python::add_errors(m);
  occ::python::add_compress(m);
  occ::python::add_archive(m);
  occ::python::add_models(m);
  occ::python::add_search(m);
}
