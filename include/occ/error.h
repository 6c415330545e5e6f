// The one exception class of the library. Thrown at borders (files, arguments), never in kernels.
#pragma once

#include <stdexcept>
#include <string>

namespace occ {
// What kind of failure an Error is.
enum class ErrorKind {
  kFailed,  // the machine or the run failed: I/O, disk full, output exists, interrupted (exit code 1)
  kUsage,   // the caller asked for something that makes no sense (exit code 2)
  kInput,   // corrupt or unsupported input (exit code 3)
};

// what() is one line: "what, where (file, tensor), expected, found".
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}  // of one line
  ErrorKind kind() const { return kind_; }                                                         // whose fault it is

 private:
  ErrorKind kind_;
};

}  // namespace occ
