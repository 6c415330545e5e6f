#include "report/inventory.h"

#include "container/archive_file.h"
#include "metrics/rate.h"
#include "report/tensor_kinds.h"

namespace occ {
namespace {

uint64_t order_bytes(const InventoryEntry& entry) {
  uint64_t sum = 0;
  for (const auto& [name, bytes] : entry.planes) {
    const std::string last = name.substr(name.rfind('/') + 1);  // without a slash npos + 1 is 0
    if (last == "order" || last.starts_with("order.")) sum += bytes;
  }
  return sum;
}

}  // namespace

double InventoryEntry::bpw() const { return bits_per_weight(bytes, info->elements()); }

void InventoryTotals::add(const InventoryEntry& entry) {
  ++tensors;
  elements += entry.info->elements();
  bytes += entry.bytes;
  if (entry.gap) gaps.add(*entry.gap, entry.info->elements());
  if (entry.weighted_gap) weighted_gaps.add(*entry.weighted_gap, entry.info->elements());
}

double InventoryTotals::bpw() const { return bits_per_weight(bytes, elements); }

InventoryTotals total_of(std::span<const InventoryEntry> entries, std::span<const size_t> members) {
  InventoryTotals out;
  for (const size_t i : members) out.add(entries[i]);
  return out;
}

double Inventory::bpw_of(uint64_t bytes) const { return bits_per_weight(bytes, all.elements); }

Inventory take_inventory(const TensorFile& file, bool limits) {
  const auto* archive = dynamic_cast<const ArchiveFile*>(&file);
  Inventory out;
  out.file_bytes = file.file_bytes();
  if (archive != nullptr) out.side_file_bytes = archive->side_file_bytes();
  for (size_t i = 0; i < file.tensors().size(); ++i) {
    InventoryEntry e;
    e.info = &file.tensors()[i];
    e.bytes = e.info->stored_bytes;
    e.record = archive != nullptr ? &archive->record(i) : nullptr;
    if (e.coded()) e.planes = archive->planes(i);
    if (limits && e.coded()) {
      e.gap = gaussian_gap(e.bpw(), e.record->nmse);
      if (e.record->weighted_error && !e.record->eigenvalues.empty()) {
        e.weighted_gap =
            weighted_gap(e.bpw(), *e.record->weighted_error, e.record->eigenvalues, e.record->row_energies);
      }
    }
    out.all.add(e);
    if (!is_embedding_or_head(e.info->name)) out.without_embeddings.add(e);
    out.order_bytes += order_bytes(e);
    out.entries.push_back(std::move(e));
  }
  return out;
}

}  // namespace occ
