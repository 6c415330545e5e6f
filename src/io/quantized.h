// Hugging Face folders whose weights are stored quantized, as `quantization_config` of config.json says: a view of the
// folder that gives floats. Every value is the one that the reference package of the method makes, rounded to the type
// that it makes it in (that of the scales, as a rule).
//
// A format is one file quantized_<name>.cc and one line in the table of quantized.cc. It finds its weights by the names
// of their tensors and says how rows are decoded.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/hf.h"

namespace occ {

// The tensors of a folder as they are stored, by name.
class StoredTensors {
 public:
  explicit StoredTensors(const HfFolder& folder);

  const HfFolder& folder() const { return folder_; }
  const std::vector<TensorInfo>& all() const { return folder_.tensors(); }
  std::optional<size_t> find(const std::string& name) const;
  const TensorInfo& info(size_t i) const { return folder_.tensors()[i]; }
  // The type in the file: "I32", "F8_E4M3", ...
  std::string_view type(size_t i) const;
  // The tensor with this name, which must have one of these types. Input error otherwise.
  size_t require(const std::string& name, std::initializer_list<std::string_view> types) const;
  // Its values as floats. For small tensors: scales, tables.
  std::vector<float> floats(size_t i) const;
  Bytes bytes(size_t i) const { return folder_.read_stored(i); }
  // An input error that names tensor i.
  [[noreturn]] void fail(size_t i, const std::string& expected) const;

 private:
  const HfFolder& folder_;
  std::unordered_map<std::string, size_t> index_;
};

// Writes the rows from `row` on, as many as `out` has. Thread-safe.
using DecodeRows = std::function<void(size_t row, MatrixView<float> out)>;

// A weight that is made of several stored tensors. Its rows are those of its last dimension.
struct QuantizedWeight {
  std::string name;
  std::vector<uint64_t> shape;
  DType dtype = DType::kF32;         // its values are rounded to this type
  std::string type;                  // for reports: "GPTQ of 4 bits"
  std::vector<size_t> parts;         // the stored tensors, which stand for nothing else
  size_t rows_together = 1;          // the number of rows that should be decoded together
  std::function<DecodeRows()> load;  // reads the parts, which takes about as much memory as they have bytes
};

struct QuantizedFormat {
  std::string_view method;  // quant_method
  // Adds all weights of this format. Checks names, types and shapes of their tensors (input errors) and reads none.
  void (*find)(const StoredTensors& tensors, const nlohmann::json& config, std::vector<QuantizedWeight>* out);
};

// The view, or the folder itself if it holds no quantized weights. Its config.json has no quantization_config. Input
// error for an unknown method, and for packed weights without a configuration that says what they are.
std::unique_ptr<TensorFile> dequantized(std::unique_ptr<HfFolder> folder);

}  // namespace occ
