#include "simd/simd.h"

#include <atomic>
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

bool cpu_has_vnni() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

std::atomic<bool> vnni_forbidden = false;

}  // namespace

bool use_vnni() {
  static const bool has = cpu_has_vnni();
  return has && !vnni_forbidden.load(std::memory_order_relaxed);
}

void forbid_vnni(bool forbid) { vnni_forbidden = forbid; }

void apply_simd_limit_from_env() {
  const char* env = std::getenv("OCC_SIMD");
  const std::string_view wanted = env == nullptr ? "" : env;
  forbid_vnni(!wanted.empty() && wanted != "vnni");
  if (wanted.empty() || wanted == "vnni") return hwy::DisableTargets(0);
#if defined(__x86_64__)
  std::string valid = "vnni";
#else
  std::string valid;
#endif
  for (int64_t rest = HWY_TARGETS; rest != 0; rest &= rest - 1) {
    const int64_t target = lowest_bit(rest);
    if (target_name(target) == wanted) return hwy::DisableTargets(target - 1);
    valid = target_name(target) + (valid.empty() ? "" : ", ") + valid;
  }
  throw_usage("OCC_SIMD: expected one of {}, found '{}'", valid, wanted);
}

}  // namespace occ
