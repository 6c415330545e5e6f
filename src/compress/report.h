// The report of a run: every tensor as it was planned and coded, and what the user must know.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "compress/part_store.h"
#include "compress/plan.h"
#include "occ/compress.h"
#include "tensor/tensor_file.h"

namespace occ {

// `parts`: for a tensor that has none yet, `predicted(k)` are its bytes, k its place in the plan. `stored`: side files
// of the archive. Its notes: those of the parts, `notes`, and what was kept, converted or left behind.
CompressReport make_report(const TensorFile& source, const std::vector<PlannedTensor>& plan, const Parts& parts,
                           const std::vector<FileRecord>& stored, const std::vector<std::string>& notes,
                           const std::function<uint64_t(size_t k)>& predicted);

// Squared error of all parts over their energy.
double total_nmse(const Parts& parts);

}  // namespace occ
