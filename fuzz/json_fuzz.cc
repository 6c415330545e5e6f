// For any bytes parse_json must return a value or throw occ::Error. A value that is printed must be parsed again.
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
