// What the commands share: global options, progress on a terminal, tables and JSON on stdout.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "occ/compress.h"

namespace occ {

struct Globals {
  size_t threads = 0;
  bool quiet = false;
  bool verbose = false;
};

// More tensors than this are told by kind and layer, unless with --verbose.
inline constexpr size_t kShortTable = 40;

// One per command: adds a subcommand whose callback runs it.
void add_compress(CLI::App& app, const Globals& globals);
void add_decompress(CLI::App& app, const Globals& globals);
void add_verify(CLI::App& app, const Globals& globals);
void add_inspect(CLI::App& app, const Globals& globals);
void add_compare(CLI::App& app, const Globals& globals);
void add_methods(CLI::App& app, const Globals& globals);
void add_evaluate(CLI::App& app, const Globals& globals);
void add_generate(CLI::App& app, const Globals& globals);
void add_tokenize(CLI::App& app, const Globals& globals);

// What --bits is to a method.
enum class BitsAre { kCeiling, kWidth, kBudget };
// "auto, trellis, ...": the methods to which they are that (with their default parameters).
std::string methods_whose_bits_are(BitsAre what);

// Rate and time left on stderr, only when it is a terminal and not --quiet. unit: what is counted; empty: bytes.
ProgressFn progress_bar(const Globals& globals, const std::string& unit = "");
// Ends the line of the bar, if there is one.
void end_progress();

// "45M", "45mb", "1.5 GB" (decimal), "1.5GiB", "1000": bytes. Usage error otherwise.
uint64_t parse_size(const std::string& text);

std::string human_bytes(double bytes);                        // "44.9 MB"
std::string human_count(double count);                        // "13.4 M"
std::string shape_label(const std::vector<uint64_t>& shape);  // "576x1536"
std::string number(double v, int digits = 4);                 // short, "inf" and "-" included

// A line "note: ..." on stdout, control characters made harmless.
void print_note(const std::string& text);

// JSON has no infinity: null.
nlohmann::ordered_json finite_or_null(double v);
void print_json(const nlohmann::ordered_json& json);

}  // namespace occ
