// A value that is made when it is first asked for: what takes long is not done for a damaged file, which is refused
// before.
#pragma once

#include <mutex>
#include <optional>

namespace occ {

template <typename T>
class Lazy {
 public:
  // What make() gave the thread that came first; others wait for it. If it throws there is no value, and the next call
  // tries again.
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
