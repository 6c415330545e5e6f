// What a file consists of: the bytes of every tensor and, of an archive, how far its coded tensors stand from the limits.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "container/index.h"
#include "metrics/limits.h"
#include "tensor/tensor_file.h"

namespace occ {

struct InventoryEntry {
  const TensorInfo* info = nullptr;
  uint64_t bytes = 0;                                    // stored
  const TensorRecord* record = nullptr;                  // of an archive; null otherwise
  std::vector<std::pair<std::string, uint64_t>> planes;  // names and bytes of a coded tensor
  std::optional<Gap> gap, weighted_gap;                  // of a coded tensor, if asked for

  bool coded() const { return record != nullptr && record->coded(); }
  double bpw() const;
};

// Of several tensors.
struct InventoryTotals {
  size_t tensors = 0;
  uint64_t elements = 0, bytes = 0;
  GapMean gaps, weighted_gaps;

  void add(const InventoryEntry& entry);
  double bpw() const;
};
InventoryTotals total_of(std::span<const InventoryEntry> entries, std::span<const size_t> members);

struct Inventory {
  std::vector<InventoryEntry> entries;  // in the order of the file, which must outlive them
  InventoryTotals all, without_embeddings;
  uint64_t file_bytes = 0;
  uint64_t side_file_bytes = 0;  // of an archive: config, tokenizer, ..., as stored
  uint64_t order_bytes = 0;      // planes that keep the order of what `qet` sorted: free in the accounting of its paper

  double bpw_of(uint64_t bytes) const;  // over all elements
};

// `limits`: with gaps.
Inventory take_inventory(const TensorFile& file, bool limits);

}  // namespace occ
