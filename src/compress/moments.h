// Second moments H = E[x x^T] of the inputs of y = W x, as error feedback, transforms and the report use them. They
// come from a file of input vectors (H = X^T X / n for every tensor of that width) or from a file with one matrix
// [cols, cols] for each tensor, or both: a tensor's own matrix counts more.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "compress/plan.h"
#include "occ/matrix.h"
#include "tensor/tensor_file.h"

namespace occ {

struct Moments {
  Matrix<double> h;              // [cols, cols], symmetric, finite, no negative diagonal
  std::vector<uint8_t> profile;  // of its eigenvalues (metrics/limits.h)
};

// X^T X / n of a file with one tensor; its rows, along the last dimension, are the vectors. Input error at the first
// value that is not finite, and if there is not exactly one tensor with at least one row. Cost: n cols^2.
Matrix<double> second_moments(const TensorFile& activations);
// What the rows of its one tensor span; errors as above.
size_t activation_width(const TensorFile& activations);

class MomentSource {
 public:
  MomentSource() = default;
  // Paths may be empty. Opens the files and reads their headers only. `given` may be empty; it must outlive this.
  MomentSource(const std::string& activations, const std::string& hessian, MatrixView<const double> given);

  bool any() const { return activations_ || hessian_ || given_.size() != 0; }
  // Input error if the file has a matrix of another shape for this tensor.
  bool has(const std::string& tensor, size_t cols) const;
  // Null if there are none. Kept as long as one is in use; those of activations for good.
  std::shared_ptr<const Moments> find(const std::string& tensor, size_t cols) const;
  // For the messages of a run.
  std::string widths() const;
  std::vector<std::string> names() const;  // of the matrices per tensor
  std::vector<std::filesystem::path> files() const;

 private:
  std::shared_ptr<const Moments> finish(Matrix<double> h) const;

  std::unique_ptr<TensorFile> activations_, hessian_;
  size_t width_ = 0;
  MatrixView<const double> given_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Moments> shared_;              // of activations or `given`
  mutable std::map<uint64_t, std::vector<uint8_t>> profiles_;  // by hash of H: q, k and v have the same
};

// Input error if no coded tensor has second moments; notes for the report about those that have none, and about
// matrices that belong to no tensor.
void match_moments(const MomentSource& moments, const TensorFile& source, const std::vector<PlannedTensor>& plan,
                   std::vector<std::string>* notes);

// Damping for error feedback (FitContext), in units of the mean diagonal element of H: the least weighted error that
// any code has at this rate. Directions with a smaller eigenvalue are lost anyway, and feedback should not serve them.
// Measured on eigenvalues whose logarithms are N(0, 1.5^2), at 1, 2 and 3 bits: the best damping is near 0.8 of that,
// and its neighbours are as good.
double damping_at(double bits, std::span<const uint8_t> profile);

}  // namespace occ
