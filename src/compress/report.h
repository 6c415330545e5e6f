// The report of a run: how every tensor was planned and coded, and notes for the user.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "compress/part_store.h"
#include "compress/plan.h"
#include "occ/compress.h"
#include "tensor/tensor_file.h"

namespace occ {

// Makes the report. For a tensor that has no part in `parts` yet, predicted(k) gives its bytes, where k is its place in
// the plan. `stored` are the side files of the archive. The notes of the report are those of the parts, `notes`, and
// notes about everything that was kept, converted or left out.
CompressReport make_report(const TensorFile& source, const std::vector<PlannedTensor>& plan, const Parts& parts,
                           const std::vector<FileRecord>& stored, const std::vector<std::string>& notes,
                           const std::function<uint64_t(size_t k)>& predicted);

// Returns the squared error of all parts divided by their energy.
double total_nmse(const Parts& parts);

}  // namespace occ
