// Codes a matrix in several coordinate systems and prints in which one it costs the fewest bits: link with occ::encode.
#include <occ/compress.h>

#include <cmath>
#include <cstdio>
#include <filesystem>

// Rows are smooth signals plus a little noise, so that a cosine transform gathers their energy.
static occ::Matrix<float> smooth_rows(size_t rows, size_t cols) {
  occ::Matrix<float> matrix(rows, cols);
  uint32_t random = 1;
  for (size_t r = 0; r < rows; ++r) {
    float level = 0;
    for (size_t c = 0; c < cols; ++c) {
      random = random * 1664525u + 1013904223u;
      level = 0.95f * level + static_cast<float>(random >> 8) * 0x1p-24f - 0.5f;
      matrix(r, c) = level;
    }
  }
  return matrix;
}

int main() {
  const occ::Matrix<float> matrix = smooth_rows(512, 512);
  const std::filesystem::path file = std::filesystem::temp_directory_path() / "search_coordinates.occ";
  const char* best = nullptr;
  double least = INFINITY;
  try {
    for (const char* transform : {"identity", "signs(seed=1) > hadamard", "dct", "pca"}) {
      occ::CompressOptions options;
      options.recipe = std::string(transform) + " > trellis(step=0.5) > rans";
      options.force = true;
      const occ::CompressReport report = occ::compress_matrix(matrix.view(), "matrix", file, options);
      // A bit per weight divides the error by four: rates are compared at nmse .01.
      const double bits = report.bpw() + 0.5 * std::log2(report.nmse / 0.01);
      std::printf("%-26s %.3f bits per weight, nmse %.5f; at nmse .01 about %.3f bits\n", transform, report.bpw(),
                  report.nmse, bits);
      if (bits < least) least = bits, best = transform;
    }
  } catch (const occ::Error& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 1;
  }
  std::filesystem::remove(file);
  std::printf("cheapest: %s\n", best);
}
