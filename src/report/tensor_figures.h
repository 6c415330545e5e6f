// Figures about all tensors of a file that several pages show: where its bytes are, and what every tensor takes and loses.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace occ {

struct TensorFigure {
  std::string name;
  uint64_t elements = 0, bytes = 0;
  bool coded = true;                                 // false: kept as it is
  std::optional<double> nmse = std::nullopt;         // of its decoded values
  std::optional<double> limit_bpw = std::nullopt;    // fewest bits per weight of Gaussian weights at its error
  std::optional<double> sensitivity = std::nullopt;  // loss of the model per weight and unit of error, relative
  std::optional<double> error = std::nullopt;        // the (weighted) error that the sensitivity goes with
  double bpw() const { return elements == 0 ? 0 : 8 * static_cast<double>(bytes) / static_cast<double>(elements); }
};

// The figures that these tensors allow, each with its caption: maps of layers and kinds with bits, loss and
// sensitivity, a treemap of the bytes, rate against error with the Gaussian curve, rate against the limit. `rest`: bytes of
// the file beside the tensors. `what`: what the errors were measured against.
std::vector<std::string> tensor_figures(std::span<const TensorFigure> tensors, uint64_t rest, const std::string& what,
                                        const std::string& command);

}  // namespace occ
