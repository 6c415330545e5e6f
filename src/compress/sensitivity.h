// Reads sensitivities from a file. A sensitivity is the loss that an error in a tensor causes, relative to other
// tensors.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "compress/plan.h"
#include "tensor/tensor_file.h"

namespace occ {

// Sets the sensitivities of the plan from JSON {tensor name: number > 0}, and to 1 for tensors that the file does not
// name. Input error for any other content. Adds notes about names that match no tensor and about tensors that are not
// named.
void read_sensitivities(const std::filesystem::path& file, const TensorFile& source, std::vector<PlannedTensor>* plan,
                        std::vector<std::string>* notes);

}  // namespace occ
