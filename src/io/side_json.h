// Changes JSON files that belong to a model, such as its configuration, on their way from one file to another.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "tensor/tensor_file.h"

namespace occ {

// Parses the file `name` among `files`, if it is there, and writes it again after `change`. `change` returns whether it
// changed anything; otherwise the bytes stay as they are. `path`: of the model, for errors. Input error if the file is no
// JSON (io/json.h).
void change_side_json(std::vector<SideFile>* files, const std::string& name, const std::string& path,
                      const std::function<bool(nlohmann::json&)>& change);

}  // namespace occ
