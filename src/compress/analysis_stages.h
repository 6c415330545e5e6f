// Transforms that only the analysis uses: coordinate systems whose figures are of interest, but which archives do not
// support. Their side information is counted as if the format stored it.
//   center        y = x - m, for the means m of the columns as f16: 16 / rows bits per weight
//   pca_columns   y = U^T x, for the eigenvectors U of x x^T as f16: pca (transforms/pca.cc) of the transposed matrix,
//                 16 rows / cols bits per weight
//   local_pca     Rows are cut into pieces of `block` columns. Every piece belongs to one of `clusters` Gaussians of
//                 mean 0. Its coordinates are along the eigenvectors of the covariance of that Gaussian. This
//                 approximates a manifold by linear pieces. Side information: the bases as f16, and for every piece
//                 the number of its cluster.
// In local_pca the assignment is fitted by the classification form of the EM algorithm (Celeux & Govaert 1992), which
// minimises the bits of the mixture, log2 |C| + x^T C^-1 x / ln 2 - 2 log2 p for a piece x in a cluster of covariance C
// and share p. Its coefficients are sorted by cluster, then by component, so that values of one variance follow each
// other in the rows that an entropy coder sees.
#pragma once

namespace occ {

// Adds these transforms to the registry, once. Not thread-safe.
void register_analysis_stages();

}  // namespace occ
