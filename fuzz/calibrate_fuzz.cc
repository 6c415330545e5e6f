// Compresses any model with a calibration on a few words, as `occ compress --calibrate` does. That must throw occ::Error
// or write an archive that passes `occ verify` and has the tensors of the model. Input: model_input.h.
#include <cstdlib>
#include <fstream>

#include "base/check.h"
#include "container/archive_file.h"
#include "model/mended_file.h"
#include "model_input.h"
#include "occ/calibrate.h"
#include "occ/error.h"

namespace occ {
namespace fs = std::filesystem;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  with_fuzz_model(data, size, [](const fs::path& input, const fs::path& folder) {
    const fs::path text = folder / "text", output = folder / "out.occ";
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
    compress_model(input, output, options, calibration);
    must_succeed([&] {
      const ArchiveFile archive(output);
      archive.verify();
      const std::unique_ptr<TensorFile> source = open_model_file(input);  // without what is stored twice
      OCC_CHECK(archive.tensors().size() == source->tensors().size());
    });
  });
  return 0;
}

}  // namespace occ
