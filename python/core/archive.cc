// Reading archives, and every other format that the command line reads.
#include "caller.h"
#include "container/archive_file.h"
#include "module.h"

namespace nb = nanobind;

namespace occ::python {
namespace {

// An open file and its tensors by name.
struct File {
  std::shared_ptr<TensorFile> file;
  const ArchiveFile* archive = nullptr;  // null if it is a file of another format

  explicit File(const std::filesystem::path& path)
      : file(open_any(path)), archive(dynamic_cast<const ArchiveFile*>(file.get())) {}
};

nb::dict describe(const File& f, size_t i) {
  const TensorInfo& info = f.file->tensors().at(i);
  nb::dict out;
  out["name"] = info.name;
  out["shape"] = info.shape;
  out["dtype"] = std::string(dtype_name(info.dtype));
  out["recipe"] = f.archive != nullptr ? f.archive->record(i).recipe : std::string();
  out["stored_bytes"] = f.archive != nullptr ? f.archive->stored_bytes(i) : info.stored_bytes;
  return out;
}

// Rows [row, row + rows) of the matrix of tensor i, as f32.
Array read_rows(const File& f, size_t i, size_t row, size_t rows) {
  const TensorRows source(*f.file, i);
  Matrix<float> out = Matrix<float>::uninitialized(rows, source.shape().cols);
  Caller().run([&] { source.read_rows(row, out.view()); });
  return to_array(std::move(out));
}

// All elements of tensor i in its own type.
nb::bytearray read_raw(const File& f, size_t i) {
  const TensorInfo& info = f.file->tensors().at(i);
  const size_t size = info.elements() * dtype_size(info.dtype);
  nb::bytearray out(nullptr, size);
  Caller().run([&] { f.file->read_raw(i, 0, info.elements(), out.data()); });
  return out;
}

}  // namespace

void add_archive(nb::module_& m) {
  nb::class_<File>(m, "File")
      .def(nb::init<const std::filesystem::path&>())
      .def_prop_ro("format", [](const File& f) { return f.file->format(); })
      .def_prop_ro("file_bytes", [](const File& f) { return f.file->file_bytes(); })
      .def("__len__", [](const File& f) { return f.file->tensors().size(); })
      .def("describe", &describe)
      .def("matrix_shape",
           [](const File& f, size_t i) {
             const Shape shape = matrix_shape(f.file->tensors().at(i).shape);
             return std::pair(shape.rows, shape.cols);
           })
      .def("read_rows", &read_rows)
      .def("read_raw", &read_raw)
      .def("index",
           [](const File& f) {
             nb::dict out;
             if (f.archive == nullptr) return out;
             const ArchiveIndex& index = f.archive->index();
             out["version"] = index.version;
             out["tool"] = index.tool;
             out["seed"] = index.seed;
             out["source_format"] = index.source_format;
             return out;
           })
      .def("side_files",
           [](const File& f) {
             nb::dict out;
             for (const SideFile& s : f.file->side_files()) {
               out[s.name.c_str()] = nb::bytes(s.bytes.data(), s.bytes.size());
             }
             return out;
           })
      .def("verify", [](const File& f) {
        if (f.archive != nullptr) Caller().run([&] { f.archive->verify(); });
      });
}

}  // namespace occ::python
