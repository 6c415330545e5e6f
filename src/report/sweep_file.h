// The files of a sweep: cells.json, from which an interrupted sweep goes on, and sweep.csv.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "report/sweep.h"

namespace occ {

inline constexpr const char* kSweepCells = "cells.json";
inline constexpr const char* kSweepTable = "sweep.csv";
inline constexpr const char* kSweepPage = "index.html";

// An object with the keys that docs/reference/json.md has under cells[] of `occ sweep`.
nlohmann::ordered_json to_json(const SweepCell& cell);
// The whole document of `occ sweep --json`.
nlohmann::ordered_json to_json(const Sweep& sweep);

// A heading and a line for every cell, in the words of RFC 4180. Figures that were not measured are empty.
std::string sweep_csv(const Sweep& sweep);

// Reads the finished cells of an earlier sweep; none if there is no such file. Input error if it is no such file.
std::vector<SweepCell> read_cells(const std::filesystem::path& path);
// Writes the finished cells.
void write_cells(const std::filesystem::path& path, std::span<const SweepCell> cells);

}  // namespace occ
