// parse_json takes any bytes or throws occ::Error; what it takes, it takes again after printing.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "io/json.h"
#include "occ/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  occ::printable(text);
  try {
    const nlohmann::json value = occ::parse_json(text, "fuzz");
    if (occ::parse_json(value.dump(), "fuzz") != value) std::abort();
  } catch (const occ::Error&) {
  }
  return 0;
}
