#include "calibration/original_moments.h"

#include <filesystem>

#include "calibration/calibration_text.h"
#include "calibration/model_calibration.h"

namespace occ {

std::unique_ptr<CalibrationSource> calibrate_original(const TensorFile& source, const CalibrationOptions& options,
                                                      const ProgressFn& progress) {
  CalibrationText text = read_calibration_text(source, read_config(source), options, 0);
  CalibrationSettings settings;
  settings.progress = progress;
  settings.cache = true;
  settings.token_counts = std::move(text.counts);
  return std::make_unique<ModelCalibration>(source, std::move(text.calibrate), options.texts.front().string(),
                                            std::filesystem::temp_directory_path(), std::move(settings));
}

}  // namespace occ
