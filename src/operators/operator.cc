#include "operators/operator.h"

#include "container/archive_file.h"
#include "operators/dense.h"
#include "operators/tree.h"

namespace occ {

std::unique_ptr<Operator> make_operator(const TensorFile& file, size_t index, const OperatorOptions& options) {
  const auto* archive = dynamic_cast<const ArchiveFile*>(&file);
  if (archive == nullptr || !archive->record(index).coded()) return make_dense(file, index, options.transposed);
  std::unique_ptr<Operator> made;
  archive->as_fault_of(index, [&] {
    ArchiveFile::Coded coded = archive->open_coded(index);
    made = options.arithmetic == Arithmetic::kF32
               ? make_dense(*coded.recipe, options.transposed,
                            [&](size_t row, MatrixView<const float> rows) { archive->check_decoded(index, row, rows); })
               : make_tree(std::move(coded.recipe), coded.blob, options.transposed);
  });
  return made;
}

}  // namespace occ
