// Compresses a language model so that its predictions suffer least on texts like the one given: link with occ::calibration.
#include <occ/calibrate.h>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 4) return std::fprintf(stderr, "usage: calibrate_model MODEL TEXT OUT.occ\n"), 2;
  occ::CompressOptions options;
  options.bits = 3;  // of the whole file, per weight
  options.force = true;
  options.progress = [](const char* phase, uint64_t done, uint64_t total) {
    if (done == total) std::fprintf(stderr, "%s: done\n", phase);
  };
  occ::CalibrationOptions calibration;
  calibration.texts = {argv[2]};
  calibration.tokens = 16384;  // more tokens give a better model and take longer
  try {
    const occ::CompressReport report = occ::compress_model(argv[1], argv[3], options, calibration);
    for (const std::string& note : report.notes) std::printf("note: %s\n", note.c_str());
    std::printf("%llu bytes, %.3f bits per weight\n", static_cast<unsigned long long>(report.file_bytes), report.bpw());
  } catch (const occ::Error& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 1;
  }
}
