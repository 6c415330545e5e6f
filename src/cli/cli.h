// Functions that all commands use: global options, progress on a terminal, tables and JSON on stdout.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/json_fields.h"
#include "occ/compress.h"
#include "report/units.h"
#include "tensor/tensor_file.h"

namespace occ {

struct Globals {
  size_t threads = 0;
  bool quiet = false;
  bool verbose = false;
  std::string command;  // the command line, as a shell takes it
};

// Tables list single tensors up to this number; more tensors are grouped by kind and layer, except with --verbose.
inline constexpr size_t kShortTable = 40;

// Each of these adds one subcommand to `app`, whose callback runs the command.
void add_compress(CLI::App& app, const Globals& globals);
void add_decompress(CLI::App& app, const Globals& globals);
void add_verify(CLI::App& app, const Globals& globals);
void add_inspect(CLI::App& app, const Globals& globals);
void add_compare(CLI::App& app, const Globals& globals);
void add_methods(CLI::App& app, const Globals& globals);
void add_analyze(CLI::App& app, const Globals& globals);
void add_sweep(CLI::App& app, const Globals& globals);
void add_evaluate(CLI::App& app, const Globals& globals);
void add_generate(CLI::App& app, const Globals& globals);
void add_embed(CLI::App& app, const Globals& globals);
void add_serve(CLI::App& app, const Globals& globals);
void add_tokenize(CLI::App& app, const Globals& globals);
void add_index(CLI::App& app, const Globals& globals);
void add_search(CLI::App& app, const Globals& globals);

// What the option --bits means for a method: the most bits per weight of the whole file, the width of every code, or
// the bits per weight of a tensor with its codebooks.
enum class BitsAre { kCeiling, kWidth, kBudget };
// Returns the names of the methods for which --bits has that meaning (with default parameters), as in "auto, trellis".
std::string methods_whose_bits_are(BitsAre what);

// Returns a function that shows progress with speed and remaining time on stderr. It is empty if stderr is no terminal
// or with --quiet. `unit` names what is counted; an empty unit stands for bytes.
ProgressFn progress_bar(const Globals& globals, const std::string& unit = "");
// Clears the line of the progress bar, if there is one.
void end_progress();

// Reads a number of bytes such as "45M", "45mb", "1.5 GB" (decimal), "1.5GiB" (binary) or "1000". Usage error for
// other text.
uint64_t parse_size(const std::string& text);

// Prints a line "note: ..." on stdout. Control characters are replaced.
void print_note(const std::string& text);
// Prints the notes of a file that was read (TensorFile::notes) on stderr, where they disturb no output; nothing with
// --quiet.
void print_source_notes(const TensorFile& file, const Globals& globals);

void print_json(const nlohmann::ordered_json& json);

}  // namespace occ
