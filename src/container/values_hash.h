// Computes the hash of a matrix of values (hash_of_chunks in index.h) from rows that come in any order, so that the
// decoded rows of a tensor can be checked while they are read.
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
  // At most `most_parts` incomplete chunks (about 2^16 values each) are kept in memory. Rows that would start one more
  // are ignored; unless they come again later, there is then no hash.
  ValuesHash(Shape shape, size_t most_parts) : shape_(shape), most_parts_(most_parts) {}

  // Takes the rows [row, row + values.rows()) of the matrix. Pieces may have any size and come in any order; rows that
  // come again are ignored. Returns the hash once all rows have come, and nothing before. Thread-safe.
  std::optional<uint64_t> add(size_t row, MatrixView<const float> values);

 private:
  struct Part {
    std::vector<float> values;  // the values of the whole chunk
    std::vector<bool> there;    // for each row: whether it has come
    size_t missing = 0;         // the number of rows that have not come
  };

  void add_part(size_t chunk, size_t first, size_t chunk_rows, MatrixView<const float> values);
  void finish(size_t chunk, uint64_t hash);

  const Shape shape_;
  const size_t most_parts_;
  std::mutex mutex_;
  std::map<size_t, uint64_t> hashes_;  // the hashes of complete chunks
  std::map<size_t, Part> parts_;
  std::optional<uint64_t> whole_;
};

}  // namespace occ
