// The hash of a matrix of values (hash_of_chunks in index.h), made of rows while something else reads them.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "occ/matrix.h"

namespace occ {

class ValuesHash {
 public:
  // At most `most_parts` chunks of which some rows are still missing are kept in memory (2^16 values each). Rows that
  // would need one more are left out, and then the hash never comes.
  ValuesHash(Shape shape, size_t most_parts) : shape_(shape), most_parts_(most_parts) {}

  // Takes rows [row, row + values.rows()) of the matrix, in any order and any pieces; rows that came before count once.
  // Returns the hash as soon as all rows have come, and from then on. Thread-safe.
  std::optional<uint64_t> add(size_t row, MatrixView<const float> values);

 private:
  struct Part {
    std::vector<float> values;  // of the whole chunk
    std::vector<bool> there;    // by row
    size_t missing = 0;         // rows
  };

  void add_part(size_t chunk, size_t first, size_t chunk_rows, MatrixView<const float> values);
  void finish(size_t chunk, uint64_t hash);

  const Shape shape_;
  const size_t most_parts_;
  std::mutex mutex_;
  std::map<size_t, uint64_t> hashes_;  // of whole chunks
  std::map<size_t, Part> parts_;
  std::optional<uint64_t> whole_;
};

}  // namespace occ
