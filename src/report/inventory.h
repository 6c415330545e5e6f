// What a file consists of: the bytes of every tensor and, for an archive, how far its coded tensors are from the
// rate-distortion limits.
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
  uint64_t bytes = 0;                                    // as stored in the file
  const TensorRecord* record = nullptr;                  // null if the file is no archive
  std::vector<std::pair<std::string, uint64_t>> planes;  // names and bytes of the planes of a coded tensor
  std::optional<Gap> gap, weighted_gap;                  // of a coded tensor, if limits were asked for

  bool coded() const { return record != nullptr && record->coded(); }
  double bpw() const;
};

// Sums over several tensors.
struct InventoryTotals {
  size_t tensors = 0;
  uint64_t elements = 0, bytes = 0;
  GapMean gaps, weighted_gaps;

  void add(const InventoryEntry& entry);
  double bpw() const;
};
InventoryTotals total_of(std::span<const InventoryEntry> entries, std::span<const size_t> members);

struct Inventory {
  std::vector<InventoryEntry> entries;  // in the order of the file; the file must outlive them
  InventoryTotals all, without_embeddings;
  uint64_t file_bytes = 0;
  uint64_t side_file_bytes = 0;  // config, tokenizer and other side files as an archive stores them
  // Bytes of the planes that keep the order of the values that the stage `qet` sorted. The paper of QET does not count
  // them.
  uint64_t order_bytes = 0;

  double bpw_of(uint64_t bytes) const;  // bits per weight over all elements of the file
};

// Lists all tensors of the file. With `limits`, coded tensors of an archive get their gaps as well.
Inventory take_inventory(const TensorFile& file, bool limits);

}  // namespace occ
