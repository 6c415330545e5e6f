// What a cell of a sweep loses: errors of its weights, and where the input can be run and a text is given, errors of what
// it says.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "container/archive_file.h"
#include "evaluation/encoder_quality.h"
#include "model/language_model.h"
#include "report/sweep.h"

namespace occ {

inline constexpr const char* kLossOfLanguage = "kl";
inline constexpr const char* kLossOfEncoder = "1 - embedding_cosine";
inline constexpr const char* kLossOfWeights = "nmse";

// Input error if the file is no model that can be run, and so cannot be calibrated.
void check_calibration(const TensorFile& source);

class SweepLosses {
 public:
  // `source` and `options` must outlive this object. Usage error if there is a text and the input is no model. The input
  // is loaded as a model when the first cell is measured.
  SweepLosses(const TensorFile& source, std::string path, const SweepOptions& options);

  const char* name() const;  // one of those above
  // Adds all losses of the archive to the cell. Thread-safe; models are run one at a time.
  void measure(const ArchiveFile& archive, const ProgressFn& progress, SweepCell* cell);

 private:
  void measure_language(const ArchiveFile& archive, const ProgressFn& progress, SweepCell* cell);
  void measure_encoder(const ArchiveFile& archive, const ProgressFn& progress, SweepCell* cell);

  const TensorFile& source_;
  const std::string path_;
  const SweepOptions& options_;
  bool encoder_ = false, vectors_ = false;
  std::string text_;
  std::mutex mutex_;
  std::optional<LanguageModel> language_model_;  // the input
  std::optional<EncoderModel> encoder_model_;
};

}  // namespace occ
