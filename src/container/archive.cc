#include "occ/archive.h"

#include <algorithm>

#include "base/error.h"
#include "container/archive_file.h"

namespace occ {

Archive::Archive(const std::filesystem::path& path) {
  auto file = std::make_unique<ArchiveFile>(path);
  for (size_t i = 0; i < file->tensors().size(); ++i) {
    const TensorRecord& r = file->record(i);
    tensors_.push_back(
        {r.name, r.shape, std::string(dtype_name(r.dtype)), r.recipe, matrix_shape(r.shape), file->stored_bytes(i)});
  }
  file_ = std::move(file);
}
Archive::Archive(Archive&&) noexcept = default;
Archive& Archive::operator=(Archive&&) noexcept = default;
Archive::~Archive() = default;

Archive Archive::open(const std::filesystem::path& path) { return Archive(path); }

size_t Archive::find(const std::string& name) const {
  const size_t i = file_->find(name);
  if (i == tensors_.size()) throw_usage("{}: there is no tensor '{}'", file_->path(), name);
  return i;
}

Matrix<float> Archive::read(const std::string& name) const {
  const size_t i = find(name);
  Matrix<float> out = Matrix<float>::uninitialized(tensors_[i].matrix.rows, tensors_[i].matrix.cols);
  read_rows(i, 0, out.view());
  return out;
}

void Archive::read_rows(size_t i, size_t row, MatrixView<float> out) const {
  const Shape shape = tensors_.at(i).matrix;
  if (out.cols() != shape.cols || row > shape.rows || out.rows() > shape.rows - row) {
    throw_usage("{}: tensor '{}': expected rows within {} x {}, asked for {} x {} from row {}", file_->path(),
                tensors_[i].name, shape.rows, shape.cols, out.rows(), out.cols(), row);
  }
  TensorRows(*file_, i).read_rows(row, out);
}

void Archive::verify() const { static_cast<const ArchiveFile&>(*file_).verify(); }

}  // namespace occ
