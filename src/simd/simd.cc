#include "simd/simd.h"

#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"
#include "hwy/highway.h"

namespace occ {
namespace {

std::string target_name(int64_t target) {
  std::string name = hwy::TargetName(target);
  for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return name;
}

// In Highway's masks a better target is a lower bit.
constexpr int64_t lowest_bit(int64_t mask) { return mask & -mask; }

}  // namespace

void apply_simd_limit_from_env() {
  const char* env = std::getenv("OCC_SIMD");
  const std::string_view wanted = env == nullptr ? "" : env;
  if (wanted.empty()) return hwy::DisableTargets(0);
  std::string valid;
  for (int64_t rest = HWY_TARGETS; rest != 0; rest &= rest - 1) {
    const int64_t target = lowest_bit(rest);
    if (target_name(target) == wanted) return hwy::DisableTargets(target - 1);
    valid = target_name(target) + (valid.empty() ? "" : ", ") + valid;
  }
  throw_usage("OCC_SIMD: expected one of {}, found '{}'", valid, wanted);
}

}  // namespace occ
