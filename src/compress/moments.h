// Second moments H = E[x x^T] of the inputs of y = W x. Error feedback, transforms and the report use them. They come
// from a file of input vectors (H = X^T X / n for every tensor of that width) or from a file with one matrix
// [cols, cols] for each tensor. If both are given, the matrix of the tensor itself is used.
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
  std::vector<uint8_t> profile;  // profile of the eigenvalues of h (metrics/limits.h)
};

// Returns X^T X / n [cols, cols] for a file with one tensor X [..., cols], whose n vectors run along the last
// dimension. Input error at the first value that is not finite, and if the file does not have exactly one tensor with
// at least one row. It takes n cols^2 multiply-adds.
Matrix<double> second_moments(const TensorFile& activations);
// Returns the length of the vectors of such a file. Errors as above.
size_t activation_width(const TensorFile& activations);

class MomentSource {
 public:
  MomentSource() = default;
  // Paths may be empty. Opens the files and reads their headers only. `given` may be empty; it must outlive this.
  MomentSource(const std::string& activations, const std::string& hessian, MatrixView<const double> given);

  bool any() const { return activations_ || hessian_ || given_.size() != 0; }
  // Input error if the file has a matrix of another shape for this tensor.
  bool has(const std::string& tensor, size_t cols) const;
  // Returns null if the tensor has no second moments. They stay in memory as long as someone uses them; those of the
  // activations stay for the lifetime of this object.
  std::shared_ptr<const Moments> find(const std::string& tensor, size_t cols) const;
  // Returns the widths for which there are second moments, as text for messages.
  std::string widths() const;
  std::vector<std::string> names() const;  // names of the tensors that have a matrix of their own
  std::vector<std::filesystem::path> files() const;

 private:
  std::shared_ptr<const Moments> finish(Matrix<double> h) const;

  std::unique_ptr<TensorFile> activations_, hessian_;
  size_t width_ = 0;
  MatrixView<const double> given_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Moments> shared_;              // from the activations or from `given`
  mutable std::map<uint64_t, std::vector<uint8_t>> profiles_;  // by the hash of H, because q, k and v have the same H
};

// Input error if no coded tensor has second moments. Adds notes for the report about coded tensors without second
// moments and about matrices that belong to no tensor.
void match_moments(const MomentSource& moments, const TensorFile& source, const std::vector<PlannedTensor>& plan,
                   std::vector<std::string>* notes);

// Returns the damping for error feedback (FitContext), in units of the mean diagonal element of H. It is the least
// weighted error that any code can have at this rate. Directions whose eigenvalue is smaller are lost anyway, so the
// feedback should not spend effort on them. In a measurement at 1, 2 and 3 bits, on eigenvalues whose logarithms are
// N(0, 1.5^2), the best damping was near 0.8 of this value, and values near it were about as good.
double damping_at(double bits, std::span<const uint8_t> profile);

}  // namespace occ
