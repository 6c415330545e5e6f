#include "container/index.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/error.h"
#include "base/hash.h"
#include "io/json.h"
#include "metrics/limits.h"

namespace occ {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr uint64_t kMaxElements = uint64_t{1} << 46;
constexpr size_t kMaxDimensions = 64;

uint64_t parse_hash(const json& value, const std::string& what) {
  uint64_t hash = 0;
  const std::string text = value.is_string() ? value.get<std::string>() : "";
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), hash, 16);
  if (text.size() != 16 || ec != std::errc() || end != text.data() + text.size()) {
    throw_input("{}: expected a hash of 16 hexadecimal digits, found {}", what, value.dump());
  }
  return hash;
}

// Parses a profile: at most 32 bytes in hexadecimal. Input error for any other text.
std::vector<uint8_t> parse_profile(const json& value, const std::string& what) {
  const auto& text = value.get_ref<const std::string&>();
  std::vector<uint8_t> out(text.size() / 2);
  bool good = text.size() % 2 == 0 && out.size() <= kProfileSize;
  for (size_t i = 0; i < out.size() && good; ++i) {
    const char* begin = text.data() + 2 * i;
    const auto [end, ec] = std::from_chars(begin, begin + 2, out[i], 16);
    good = ec == std::errc() && end == begin + 2;
  }
  if (!good) throw_input("{}: expected up to {} bytes in hexadecimal, found {}", what, kProfileSize, value.dump());
  return out;
}

// The member `key` of an object. Input error unless it is there and is(member) is true.
template <typename Is>
const json& member(const json& object, const char* key, Is is, const char* expected, const std::string& what) {
  if (!object.is_object() || !object.contains(key) || !is(object.at(key))) {
    throw_input("{}: expected {} under '{}' of the archive index", what, expected, key);
  }
  return object.at(key);
}
const json& text_member(const json& object, const char* key, const std::string& what) {
  return member(
      object, key, [](const json& v) { return v.is_string(); }, "a string", what);
}
uint64_t count_member(const json& object, const char* key, const std::string& what) {
  return member(
             object, key, [](const json& v) { return v.is_number_unsigned(); }, "a count", what)
      .get<uint64_t>();
}
const json& object_member(const json& object, const char* key, const std::string& what) {
  return member(
      object, key, [](const json& v) { return v.is_object(); }, "an object", what);
}
const json& array_member(const json& object, const char* key, const std::string& what) {
  return member(
      object, key, [](const json& v) { return v.is_array(); }, "an array", what);
}

ordered_json to_json(const TensorRecord& r, const ordered_json& recipe) {
  ordered_json t = {{"name", r.name}, {"dtype", dtype_name(r.dtype)}, {"shape", r.shape}};
  if (r.coded()) {
    t["recipe"] = recipe;
    t["nmse"] = std::isfinite(r.nmse) ? ordered_json(r.nmse) : ordered_json();  // null: infinite
    if (r.weighted_error && std::isfinite(*r.weighted_error)) {
      t["weighted_error"] = *r.weighted_error;
      t["eigenvalues"] = fmt::format("{:02x}", fmt::join(r.eigenvalues, ""));
      if (!r.row_energies.empty()) t["row_energies"] = fmt::format("{:02x}", fmt::join(r.row_energies, ""));
    }
    t["decoded"] = hash_hex(r.decoded_hash);
  }
  t["xxh64"] = hash_hex(r.checksum);
  return t;
}

TensorRecord record_from(const json& t, const std::string& what) {
  TensorRecord r;
  r.name = text_member(t, "name", what).get<std::string>();
  const std::string where = what + ": tensor '" + r.name + "'";
  const auto dtype = parse_dtype(text_member(t, "dtype", where).get<std::string>());
  if (!dtype) throw_input("{}: expected a data type, found {}", where, t.at("dtype").dump());
  r.dtype = *dtype;
  uint64_t elements = 1;
  for (const json& d : array_member(t, "shape", where)) {
    if (!d.is_number_unsigned()) throw_input("{}: expected dimensions in its shape, found {}", where, d.dump());
    const uint64_t dim = d.get<uint64_t>();
    const uint64_t factor = std::max<uint64_t>(dim, 1);  // empty tensors must not hide huge dimensions
    if (r.shape.size() >= kMaxDimensions || elements > kMaxElements / factor) {
      throw_input("{}: expected at most {} elements, found shape {}", where, kMaxElements, t.at("shape").dump());
    }
    elements *= factor;
    r.shape.push_back(dim);
  }
  r.checksum = parse_hash(text_member(t, "xxh64", where), where);
  if (t.contains("recipe")) {
    if (!is_float(r.dtype))
      throw_input("{}: expected a float type of a coded tensor, found {}", where, dtype_name(r.dtype));
    r.decoded_hash = parse_hash(text_member(t, "decoded", where), where);
    const auto number_or_null = [](const json& v) { return v.is_number() || v.is_null(); };
    const json& nmse = member(t, "nmse", number_or_null, "a number", where);
    r.nmse = nmse.is_null() ? std::numeric_limits<double>::infinity() : nmse.get<double>();
    if (t.contains("weighted_error")) {
      r.weighted_error = member(
                             t, "weighted_error", [](const json& v) { return v.is_number(); }, "a number", where)
                             .get<double>();
      r.eigenvalues = parse_profile(text_member(t, "eigenvalues", where), where);
      if (t.contains("row_energies")) {
        r.row_energies = parse_profile(text_member(t, "row_energies", where), where);
      }
    }
  }
  return r;
}

// Usage error for text that is not UTF-8, which JSON cannot hold.
std::string print(const ordered_json& value) {
  try {
    return value.dump();
  } catch (const json::exception&) {
    throw_usage("archive index: expected UTF-8 in names and recipes, found other bytes");
  }
}

}  // namespace

std::string print_index(const ArchiveIndex& index) {
  std::vector<std::string> recipes;
  std::unordered_map<std::string, size_t> numbers;
  ordered_json tensors = ordered_json::array();
  for (const TensorRecord& r : index.tensors) {
    const auto [it, is_new] = numbers.try_emplace(r.recipe, recipes.size());
    if (r.coded() && is_new) recipes.push_back(r.recipe);
    if (!r.coded() && is_new) numbers.erase(it);
    tensors.push_back(to_json(r, r.coded() ? ordered_json(numbers.at(r.recipe)) : ordered_json()));
  }
  ordered_json files = ordered_json::array();
  for (const FileRecord& f : index.files) {
    files.push_back({{"name", f.name}, {"bytes", f.bytes}, {"xxh64", hash_hex(f.checksum)}});
  }
  const ordered_json out = {{"version", index.version},
                            {"tool", index.tool},
                            {"seed", index.seed},
                            {"source", {{"format", index.source_format}, {"xxh64", hash_hex(index.source_hash)}}},
                            {"recipes", recipes},
                            {"tensors", tensors},
                            {"files", files}};
  return print(out);
}

ArchiveIndex parse_index(const std::string& text, const std::string& what) {
  const json in = parse_json(text, what + ": archive index");
  ArchiveIndex index;
  index.version = static_cast<int>(std::min<uint64_t>(count_member(in, "version", what), 1 << 30));
  if (index.version != kFormatVersion) {
    throw_input("{}: expected archive format version {}, found {}", what, kFormatVersion, index.version);
  }
  index.tool = text_member(in, "tool", what).get<std::string>();
  index.seed = count_member(in, "seed", what);
  const json& source = object_member(in, "source", what);
  index.source_format = text_member(source, "format", what).get<std::string>();
  index.source_hash = parse_hash(text_member(source, "xxh64", what), what);
  const json& recipes = array_member(in, "recipes", what);
  for (const json& t : array_member(in, "tensors", what)) {
    TensorRecord r = record_from(t, what);
    if (t.contains("recipe")) {
      const uint64_t number = count_member(t, "recipe", what);
      if (number >= recipes.size() || !recipes[number].is_string()) {
        throw_input("{}: tensor '{}': expected a recipe number below {}, found {}", what, r.name, recipes.size(),
                    number);
      }
      r.recipe = recipes[number].get<std::string>();
    }
    index.tensors.push_back(std::move(r));
  }
  for (const json& f : array_member(in, "files", what)) {
    index.files.push_back({text_member(f, "name", what).get<std::string>(), count_member(f, "bytes", what),
                           parse_hash(text_member(f, "xxh64", what), what)});
  }
  return index;
}

std::string print_record(const TensorRecord& record) {
  return print(to_json(record, record.coded() ? ordered_json(record.recipe) : ordered_json()));
}

TensorRecord parse_record(const std::string& text, const std::string& what) {
  const json in = parse_json(text, what);
  TensorRecord r = record_from(in, what);
  if (in.contains("recipe")) r.recipe = text_member(in, "recipe", what).get<std::string>();
  return r;
}

uint64_t tensor_checksum(const TensorRecord& r, ByteSpan stored) { return tensor_checksum(r, hash64(stored)); }

uint64_t tensor_checksum(const TensorRecord& r, uint64_t stored_hash) {
  std::string head = fmt::format("{}\n{}\n[{}]\n{}\n", r.name, dtype_name(r.dtype), fmt::join(r.shape, ","), r.recipe);
  head += fmt::format("{}\n{}", hash_hex(r.decoded_hash), hash_hex(stored_hash));
  return hash64(head);
}

uint64_t hash_of_chunks(const std::vector<uint64_t>& chunk_hashes) {
  return hash64(chunk_hashes.data(), chunk_hashes.size() * sizeof(uint64_t));
}

}  // namespace occ
