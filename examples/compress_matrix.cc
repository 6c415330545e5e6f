// Compresses a matrix in memory to an archive: link with occ::encode.
#include <occ/compress.h>

#include <cmath>
#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: compress_matrix OUT.occ\n"), 2;
  occ::Matrix<float> weights(512, 768);
  for (size_t r = 0; r < weights.rows(); ++r) {
    for (size_t c = 0; c < weights.cols(); ++c) {
      weights(r, c) = std::sin(0.37f * static_cast<float>(r) + 0.11f * static_cast<float>(c * c % 1009));
    }
  }
  occ::CompressOptions options;
  options.recipe = "signs(seed=7) > hadamard > uniform(bits=3) > rans";
  options.force = true;
  try {
    const occ::CompressReport report = occ::compress_matrix(weights.view(), "weights", argv[1], options);
    std::printf("%llu bytes, %.3f bits per weight, nmse %.5f\n", static_cast<unsigned long long>(report.file_bytes),
                report.bpw(), report.nmse);
  } catch (const occ::Error& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 1;
  }
}
