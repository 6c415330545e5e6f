// Lists an archive and decodes its tensors, whole or by rows: link with occ::decode (no BLAS).
#include <occ/archive.h>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: read_archive IN.occ\n"), 2;
  try {
    const occ::Archive archive = occ::Archive::open(argv[1]);
    for (size_t i = 0; i < archive.tensors().size(); ++i) {
      const occ::Archive::Tensor& t = archive.tensors()[i];
      const occ::Matrix<float> values = archive.read(t.name);  // all of it
      double energy = 0;
      for (size_t k = 0; k < values.size(); ++k) energy += double{values.data()[k]} * values.data()[k];
      std::printf("%s: %zu x %zu, %llu bytes, coded as %s, energy %.3f\n", t.name.c_str(), values.rows(), values.cols(),
                  static_cast<unsigned long long>(t.stored_bytes), t.recipe.c_str(), energy);
      occ::Matrix<float> first_row(1, t.matrix.cols);  // or any rows, from any thread
      if (t.matrix.rows > 0) archive.read_rows(i, 0, first_row.view());
    }
    archive.verify();
  } catch (const occ::Error& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 1;
  }
}
