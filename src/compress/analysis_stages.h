// Transforms that only an analysis knows: coordinate systems whose figures are worth knowing, but which no archive can
// have so far. Their side information is counted as a stage of the format would store it.
//   center        y = x - m, for the means m of the columns as f16: 16 / rows bits per weight
//   pca_columns   y = U^T x, for the eigenvectors U of x x^T as f16: pca (transforms/pca.cc) of the transposed matrix,
//                 16 rows / cols bits per weight
//   local_pca     Rows are cut into pieces of `block` columns. Every piece belongs to one of `clusters` Gaussians of mean
//                 0 and has the eigenvectors of its covariance as coordinates. They are the piecewise linear stand-in
//                 for a manifold. Side information: the bases as f16 and the number of its cluster for every piece.
// In local_pca the assignment is fitted by the classification form of the EM algorithm (Celeux & Govaert 1992), which
// minimises the bits of the mixture, log2 |C| + x^T C^-1 x / ln 2 - 2 log2 p for a piece x in a cluster of covariance C
// and share p. Its coefficients are sorted by cluster, then by component, so that values of one variance follow each
// other in the rows that an entropy coder sees.
#pragma once

namespace occ {

// Adds them to the registry, once. Not thread-safe.
void register_analysis_stages();

}  // namespace occ
