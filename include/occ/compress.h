// Compressing files and matrices. Needs the library occ::encode.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "occ/error.h"
#include "occ/matrix.h"

namespace occ {

// Work in bytes of f32 input ("calibrate", "tune": in steps); called from several threads, one call at a time.
using ProgressFn = std::function<void(const char* phase, uint64_t done, uint64_t total)>;

// What is asked for. Usage error from the functions below for what contradicts itself or makes no sense.
struct CompressOptions {
  std::string method = "auto";  // name(params), see `occ methods`; ignored when `recipe` is given
  std::string recipe;           // explicit pipeline; fixes the rate
  int effort = 3;               // 1 (quick) to 9 (smallest): states of the trellis, passes of fits

  // At most one of these; none: 4 bits.
  std::optional<double> bits;    // most bits per weight, every byte counted; the width of a code for rtn and lloyd
  std::optional<double> ratio;   // input bits over file bits, every byte counted
  std::optional<uint64_t> size;  // bytes of the file at most
  std::optional<double> nmse;    // the smallest file with at most this error; methods of continuous rate only

  // JSON {tensor name: number > 0}: loss per weight and unit of nmse, relative to the other tensors; 1 where missing.
  std::filesystem::path sensitivity;

  // {glob, recipe | method | "keep"} for tensors whose name matches; the last match wins.
  std::vector<std::pair<std::string, std::string>> tensors;
  std::vector<std::string> keep;  // globs of tensors kept as they are

  // Second moments of the inputs x of y = W x, for codes with the least error in y instead of W. Paths of any tensor
  // file: one tensor whose rows are input vectors, used for all tensors of that width; or for each tensor, by its name,
  // its E[x x^T] [cols, cols], which counts more where both are given.
  std::string activations;  // input vectors
  std::string hessian;      // E[x x^T]

  // An archive whose first tensor was coded with `recipe`, pq, opq or lopq: its codebooks and rotations are taken, so
  // that nothing is fitted. The tensors must have rows of the same length.
  std::filesystem::path codebooks;

  uint64_t seed = 0;     // of random signs and samples; the same seed gives the same bytes
  size_t threads = 0;    // 0: all cores
  bool resume = false;   // go on from the finished tensors of an interrupted run
  bool force = false;    // replace an existing output
  bool verify = true;    // re-read and fully decode what was written
  bool sync = true;      // fsync before the output appears under its name
  bool dry_run = false;  // tell what would be done, write nothing
  ProgressFn progress;   // called while it runs
};

// What became of a tensor.
struct TensorReport {
  std::string name;             // as in the source
  std::vector<uint64_t> shape;  // as in the source
  std::string dtype;            // in the source
  std::string stored_type;      // type in the source where values were converted first, e.g. "Q4_K"
  std::string recipe;           // empty: kept as it is
  std::string note;             // why it was kept, or a fallback
  std::string choice;           // coordinate system that `auto` picked, with what the others would have cost
  uint64_t elements = 0;        // number of weights
  uint64_t bytes = 0;           // all bytes of its blob or data; in a dry run an estimate (0: unknown until coded)
  double nmse = 0;              // squared error over energy, of the decoded values
  std::optional<double> weighted_error =
      std::nullopt;  // tr(E H E^T) / (|W|^2 tr(H) / cols), where second moments H were used; rows by their weights
  std::optional<double> sensitivity = std::nullopt;  // loss per weight and unit of (weighted) nmse, relative
  // Bits per weight at which no code can have a smaller error (the weighted one where there is one), were its weights
  // Gaussian; nothing for a lossless code.
  std::optional<double> limit_bpw = std::nullopt;
  // Bits per weight.
  double bpw() const { return elements == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(elements); }
  std::optional<double> gap_bits() const { return limit_bpw ? std::optional(bpw() - *limit_bpw) : std::nullopt; }
};

// What became of everything.
struct CompressReport {
  std::vector<TensorReport> tensors;  // in the order of the source
  std::vector<std::string> notes;     // everything that was done differently than asked
  uint64_t elements = 0;              // weights of all tensors
  uint64_t input_bytes = 0;           // of the source, as it is stored
  uint64_t file_bytes = 0;            // of the archive; in a dry run an estimate (0: unknown)
  double nmse = 0;                    // over all float tensors together, kept ones included
  double seconds = 0;                 // wall time
  uint64_t peak_bytes = 0;            // most memory that the process had so far
  bool verified = false;              // the file was read again and decodes to what the encoder saw
  // Only with a calibration: the loss of the file, the KL divergence from the input in nats per token.
  std::optional<double> loss = std::nullopt;
  bool loss_is_cosine = false;  // of encoders the loss is 1 - cosine
  uint64_t loss_tokens = 0;     // on which it was measured
  std::string loss_text;        // which tokens these are, such as "held out"
  // Bits per weight, every byte of the file counted.
  double bpw() const {
    return elements == 0 ? 0 : 8.0 * static_cast<double>(file_bytes) / static_cast<double>(elements);
  }
};

// Compresses `input` (safetensors, HF folder, GGUF, npy, npz, fvecs, ..., .occ) to the archive `output`. Throws Error; the
// output appears only when complete. An interrupted run leaves `output`.part/ for `resume`.
CompressReport compress_file(const std::filesystem::path& input, const std::filesystem::path& output,
                             const CompressOptions& options = {});

// One matrix in memory to an archive with one tensor `name`. Rate, recipe, seed, force and verify as above. `hessian`:
// second moments [cols, cols] of its inputs, or empty; then those of the options, if any.
CompressReport compress_matrix(MatrixView<const float> matrix, const std::string& name,
                               const std::filesystem::path& output, const CompressOptions& options = {},
                               MatrixView<const double> hessian = {});

}  // namespace occ
