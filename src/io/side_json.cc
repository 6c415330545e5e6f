#include "io/side_json.h"

#include <nlohmann/json.hpp>

#include "io/json.h"
#include "tensor/side_files.h"

namespace occ {

void change_side_json(std::vector<SideFile>* files, const std::string& name, const std::string& path,
                      const std::function<bool(nlohmann::json&)>& change) {
  for (SideFile& file : *files) {
    if (file.name != name) continue;
    nlohmann::json json = parse_json(text_of(file), path + ": " + name);
    if (!change(json)) continue;
    const std::string text = json.dump(2) + "\n";
    file.bytes.assign(text.begin(), text.end());
  }
}

}  // namespace occ
