// The one way this project parses JSON: nlohmann-json accepts duplicate keys, any depth and a NUL as the end of the
// text; this does not. Memory: below 150 bytes per value, at most kMaxJsonValues values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace occ {

inline constexpr size_t kMaxJsonDepth = 64;
inline constexpr size_t kMaxJsonValues = 10'000'000;

// Exactly one JSON document (white space around it is fine). Input error naming `what` ("model/config.json") on a
// syntax error, a duplicate key at any depth, more than kMaxJsonDepth nested containers, invalid UTF-8 or anything
// after it.
nlohmann::json parse_json(std::string_view text, std::string_view what);

// The same for a whole file of at most `limit` bytes.
nlohmann::json parse_json_file(const std::filesystem::path& path, uint64_t limit = uint64_t{256} << 20);

// `text` for a one-line message: control characters and bytes that are no UTF-8 become '?', long text is cut. Names in
// files may hold anything.
std::string printable(std::string_view text, size_t limit = 200);

}  // namespace occ
