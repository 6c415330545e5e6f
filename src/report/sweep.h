// Compresses one input with several methods at several rates, and measures what each of these cells costs and loses: the
// figures of `occ sweep`. A cell that is finished is stored in the folder of the sweep and not done again as long as
// nothing that its figures depend on has changed. A cell that fails keeps its error and does not stop the others.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "occ/compress.h"

namespace occ {

// A method at a rate. Losses that were not measured have no value.
struct SweepCell {
  enum class State { kWaiting, kDone, kFailed };

  std::string method;
  double asked = 0;     // bits, as `compress --bits` gets them
  std::string key;      // of everything that the figures depend on
  std::string command;  // how to repeat it
  State state = State::kWaiting;
  std::string error;               // why it failed
  uint64_t bytes = 0;              // of the whole file
  double bpw = 0;                  // bits per weight, every byte of the file counted
  double nmse = 0;                 // over all float tensors
  double cosine = 0;               // of the flattened tensors
  double limit_bpw = 0;            // fewest bits of Gaussian weights at this nmse (metrics/tensor_limit.h)
  bool calibrated = false;         // with the text of --calibrate
  double seconds = 0;              // to compress and measure it
  std::vector<std::string> notes;  // of the compression

  // Language models, on the text: nats per token, and exp of the mean negative log-likelihood.
  std::optional<double> kl, kl_stderr, perplexity, perplexity_stderr, reference_perplexity;
  // Encoders, on the text: cosine of the embeddings with those of the input, rank correlation of similarities.
  std::optional<double> embedding_cosine, embedding_cosine_stderr, spearman;
  // Vectors: mean cosine of the rows, share of the 10 nearest rows that stay so (metrics/cosines.h).
  std::optional<double> row_cosine, recall, recall_stderr;
  bool pareto = false;  // no other finished cell has both fewer bits and less loss
};

// What a sweep asks for, and what it depends on.
struct SweepOptions {
  std::vector<std::string> methods;  // name(params)
  std::vector<double> bits;
  std::filesystem::path calibrate;  // text to calibrate with; empty: nothing is calibrated
  size_t calibration_tokens = 0;    // as in CalibrationOptions
  std::filesystem::path text;       // of language models for KL and perplexity, of encoders for pairs; may be empty
  size_t max_tokens = 0;            // of the text; 0: all
  size_t limit = 0;                 // pairs of an encoder; 0: all
  std::optional<int> effort;        // none: as `compress`
  uint64_t seed = 0;
  size_t threads = 0;
  std::string command;  // that the page tells to repeat the sweep
  // Counts work of one of the cells that are to be done, numbered from 0 on. Both are called by one thread at a time.
  std::function<void(size_t cell, size_t cells, const char* phase, uint64_t done, uint64_t total)> progress;
  // Called after every such cell. `done` counts finished and failed cells.
  std::function<void(size_t cell, const SweepCell&, size_t done, size_t cells)> finished;
};

struct Sweep {
  std::string input;
  std::string loss;  // by which cells are compared: "kl", "embedding" or "nmse"
  uint64_t input_bytes = 0, elements = 0;
  std::vector<std::pair<double, double>> limit;  // bits per weight and nmse of Gaussian weights, by rising bits
  std::vector<SweepCell> cells;                  // methods in the order asked for, each with rising bits

  size_t failed() const;
};

// The loss of a finished cell by which the sweep compares cells: KL, 1 - cosine of the embeddings, or nmse.
double loss_of(const Sweep& sweep, const SweepCell& cell);

// Splits "rtn,lloyd(group=64,bits=3)" at the commas outside of parentheses.
std::vector<std::string> split_methods(const std::string& text);

// Runs the sweep. `folder` is made once everything is checked. It receives cells.json, sweep.csv and index.html after
// every cell, and while a cell is coded its unfinished parts, which an interrupted sweep leaves for the next one. Usage
// error for unknown methods, and for a text where the input is no model. Input error if the input cannot be read, or
// cannot be calibrated or run where that is asked for. Failure if it is interrupted.
Sweep run_sweep(const std::filesystem::path& input, const std::filesystem::path& folder, const SweepOptions& options);

}  // namespace occ
