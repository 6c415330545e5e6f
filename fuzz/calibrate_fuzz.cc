// Compresses any model with a calibration on a few words, as `occ compress --calibrate` does. That must throw occ::Error
// or write an archive that passes `occ verify` and has the tensors of the model. Input: model_input.h.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <new>

#include "base/check.h"
#include "base/parallel.h"
#include "container/archive_file.h"
#include "model_input.h"
#include "occ/calibrate.h"
#include "occ/error.h"

namespace occ {
namespace {
namespace fs = std::filesystem;

void check(const fs::path& input, const fs::path& output) {
  try {
    const ArchiveFile archive(output);
    archive.verify();
    const std::unique_ptr<TensorFile> source = open_any(input);
    OCC_CHECK(archive.tensors().size() == source->tensors().size());
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const FuzzFolder folder;
  static const ThreadLimit limit(1);
  const fs::path text = folder.path() / "text", output = folder.path() / "out.occ";
  if (!fs::exists(text)) {
    setenv("OCC_CACHE_SIZE", "0", 1);
    std::ofstream(text) << "the cat and the hat. a bad deed, the heel. he had the lace and the face of a jade.";
  }
  CompressOptions options;
  options.method = "rtn";
  options.effort = 1, options.threads = 1;
  options.force = true, options.verify = options.sync = false;
  CalibrationOptions calibration;
  calibration.texts = {text};
  calibration.tokens = 48, calibration.context = 16, calibration.tune_tokens = 32;
  try {
    const auto input = write_fuzz_model(data, size, folder.path());
    if (!input) return 0;
    compress_model(*input, output, options, calibration);
    check(*input, output);
  } catch (const Error&) {
  } catch (const std::bad_alloc&) {
  }
  return 0;
}

}  // namespace occ
