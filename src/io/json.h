// The functions that parse all JSON of this project. They are stricter than nlohmann-json, which accepts duplicate
// keys, any nesting depth and a NUL byte as the end of the text. A document takes less than 150 bytes of memory per
// value and may hold at most kMaxJsonValues values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace occ {

inline constexpr size_t kMaxJsonDepth = 64;
inline constexpr size_t kMaxJsonValues = 10'000'000;

// Parses a text that is exactly one JSON document; white space around it is allowed. Throws an input error that names
// `what` (for example "model/config.json") for a syntax error, a duplicate key at any depth, more than kMaxJsonDepth
// nested containers, more than kMaxJsonValues values, invalid UTF-8, or text after the document.
// With `repeated` a duplicate key is no error: its last value counts, as in most other parsers, and its name is added.
nlohmann::json parse_json(std::string_view text, std::string_view what, std::vector<std::string>* repeated = nullptr);

// The same, with the keys of objects in their order. What it takes grows with the square of the number of keys, so it is
// an input error if an object has more than 10,000.
nlohmann::ordered_json parse_ordered_json(std::string_view text, std::string_view what);

// Parses a whole file in the same way. Input error if it has more than `limit` bytes.
nlohmann::json parse_json_file(const std::filesystem::path& path, uint64_t limit = uint64_t{256} << 20,
                               std::vector<std::string>* repeated = nullptr);

// Makes `text` fit for a one-line message, because names in files may hold any bytes: control characters and bytes that
// are not UTF-8 become '?', and text of more than about `limit` bytes is cut and ends in "...".
std::string printable(std::string_view text, size_t limit = 200);

}  // namespace occ
