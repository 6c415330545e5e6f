// Sensitivities from a file: how much of the loss an error in a tensor costs, relative to the other tensors.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "compress/plan.h"
#include "tensor/tensor_file.h"

namespace occ {

// Sets those of the plan from JSON {tensor name: number > 0}; 1 where the file names none. Input error for anything
// else; notes about names that match no tensor and tensors that have none.
void read_sensitivities(const std::filesystem::path& file, const TensorFile& source, std::vector<PlannedTensor>* plan,
                        std::vector<std::string>* notes);

}  // namespace occ
