// What the server counts, in the text format of Prometheus.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>

#include "server/served_model.h"

namespace occ {

class Metrics {
 public:
  // A request that was answered. Paths that are no endpoint are counted together.
  void add_request(const std::string& path, int status);
  std::string text(std::span<const std::unique_ptr<ServedModel>> models) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, uint64_t> requests_;
};

}  // namespace occ
