// A value that is computed when it is first used, so that a long computation is not done for a file that is refused
// as damaged before the value is needed.
#pragma once

#include <mutex>
#include <optional>

namespace occ {

template <typename T>
class Lazy {
 public:
  // Returns the value. The first thread computes it with make(), and other threads wait for it. If make() throws, there
  // is no value, and the next call tries again.
  template <typename Make>
  const T& get(const Make& make) const {
    std::call_once(once_, [&] { value_.emplace(make()); });
    return *value_;
  }

 private:
  mutable std::once_flag once_;
  mutable std::optional<T> value_;
};

}  // namespace occ
