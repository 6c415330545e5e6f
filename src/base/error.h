// Functions that throw an occ::Error of each kind with a formatted one-line message.
#pragma once

#include <fmt/format.h>

#include <utility>

#include "occ/error.h"

namespace occ {

template <typename... Args>
[[noreturn]] void throw_failed(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ErrorKind::kFailed, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
[[noreturn]] void throw_usage(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ErrorKind::kUsage, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
[[noreturn]] void throw_input(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ErrorKind::kInput, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace occ
