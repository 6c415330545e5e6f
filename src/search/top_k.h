// The k entries of least cost among all that are pushed. Of entries of equal cost, those with the smaller ids count, so
// that the result depends neither on the order of the pushes nor on how the work is cut. Costs that are NaN are left
// out.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace occ {

class TopK {
 public:
  using Entry = std::pair<float, uint64_t>;  // cost and id

  // Entries of a cost above `limit` are left out.
  explicit TopK(size_t k, float limit = std::numeric_limits<float>::infinity()) : k_(k), limit_(limit) {}

  size_t k() const { return k_; }
  // No entry of a larger cost can be among the k.
  float limit() const { return limit_; }
  void push(float cost, uint64_t id) {
    if (!(cost <= limit_)) return;
    const Entry entry{cost, id};
    if (heap_.size() == k_) {
      if (!(entry < heap_.front())) return;
      std::pop_heap(heap_.begin(), heap_.end());
      heap_.pop_back();
    }
    heap_.push_back(entry);
    std::push_heap(heap_.begin(), heap_.end());
    if (heap_.size() == k_) limit_ = std::min(limit_, heap_.front().first);
  }
  void push(const TopK& o) {
    for (const Entry& e : o.heap_) push(e.first, e.second);
  }
  // The entries in ascending order.
  std::vector<Entry> sorted() const {
    std::vector<Entry> out = heap_;
    std::sort(out.begin(), out.end());
    return out;
  }

 private:
  size_t k_;
  float limit_;
  std::vector<Entry> heap_;  // the largest entry on top
};

}  // namespace occ
