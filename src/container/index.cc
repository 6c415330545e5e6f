#include "container/index.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/error.h"
#include "base/hash.h"
#include "container/zstd_bytes.h"
#include "io/json.h"
#include "metrics/limits.h"

namespace occ {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr uint64_t kMaxElements = uint64_t{1} << 46;
constexpr size_t kMaxDimensions = 64;
constexpr uint64_t kMaxIndexText = uint64_t{1} << 28;

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
  if (r.stored) t["stored"] = dtype_name(*r.stored);
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
  if (t.contains("stored")) {
    r.stored = parse_dtype(text_member(t, "stored", where).get<std::string>());
    if (!r.stored || !is_float(*r.stored) || !is_float(r.dtype) || dtype_size(*r.stored) >= dtype_size(r.dtype)) {
      throw_input("{}: expected a smaller float type, found {}", where, t.at("stored").dump());
    }
  }
  if (t.contains("recipe")) {
    r.stored.reset();
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

ordered_json to_json(const MergesText& m) {
  ordered_json others = ordered_json::array();
  for (const MergesText::Other& o : m.others) others.push_back({o.merge, o.left, o.right});
  return {{"at", m.at},     {"count", m.count}, {"open", m.open},  {"pair", m.pair},
          {"next", m.next}, {"close", m.close}, {"others", others}};
}

MergesText merges_from(const json& t, const std::string& what) {
  MergesText m;
  m.at = count_member(t, "at", what);
  m.count = count_member(t, "count", what);
  for (const auto& [key, text] :
       {std::pair{"open", &m.open}, {"pair", &m.pair}, {"next", &m.next}, {"close", &m.close}}) {
    *text = text_member(t, key, what).get<std::string>();
  }
  for (const json& o : array_member(t, "others", what)) {
    if (!o.is_array() || o.size() != 3 || !o[0].is_number_unsigned() || !o[1].is_string() || !o[2].is_string()) {
      throw_input("{}: expected a merge as its number and two texts, found {}", what, o.dump());
    }
    m.others.push_back({o[0].get<uint64_t>(), o[1].get<std::string>(), o[2].get<std::string>()});
  }
  return m;
}

ordered_json to_document(const ArchiveIndex& index) {
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
    if (f.merges) files.back()["merges"] = to_json(*f.merges);
  }
  return {{"version", index.version},
          {"tool", index.tool},
          {"seed", index.seed},
          {"source", {{"format", index.source_format}, {"xxh64", hash_hex(index.source_hash)}}},
          {"recipes", recipes},
          {"tensors", tensors},
          {"files", files}};
}

ArchiveIndex from_document(const json& in, int version, const std::string& what) {
  ArchiveIndex index;
  index.version = static_cast<int>(std::min<uint64_t>(count_member(in, "version", what), 1 << 30));
  if (index.version != version) {
    throw_input("{}: expected archive format version {}, found {}", what, version, index.version);
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
    FileRecord file{text_member(f, "name", what).get<std::string>(), count_member(f, "bytes", what),
                    parse_hash(text_member(f, "xxh64", what), what)};
    if (f.contains("merges")) {
      file.merges = merges_from(object_member(f, "merges", what), what + ": file '" + file.name + "'");
    }
    index.files.push_back(std::move(file));
  }
  return index;
}

// Calls put(object, key), in order, for every figure of a document that is stored after the text. Which figures an
// object has follows from its other members.
template <typename Json, typename Put>
void for_each_figure(Json& document, const Put& put) {
  for (Json& t : document["tensors"]) {
    if (t.contains("recipe")) {
      put(t, "decoded");
      put(t, "nmse");
      if (t.contains("eigenvalues")) put(t, "weighted_error");
    }
    put(t, "xxh64");
  }
  for (Json& f : document["files"]) put(f, "xxh64");
  put(document["source"], "xxh64");
}

bool is_error(std::string_view key) { return key == "nmse" || key == "weighted_error"; }

// The values of a profile ascend, so differences are smaller numbers. The result has, in hexadecimal digits, each byte
// minus the one before it.
std::string differences(const std::string& digits, bool back) {
  std::vector<uint8_t> bytes = parse_profile(json(digits), "profile");
  uint8_t before = 0;
  for (uint8_t& b : bytes) {
    const uint8_t value = b;
    b = static_cast<uint8_t>(back ? value + before : value - before);
    before = back ? b : value;
  }
  return fmt::format("{:02x}", fmt::join(bytes, ""));
}

template <typename Json>
void change_profiles(Json& document, bool back) {
  for (Json& t : document["tensors"]) {
    for (const char* key : {"eigenvalues", "row_energies"}) {
      if (t.contains(key)) t[key] = differences(t[key].template get<std::string>(), back);
    }
  }
}

}  // namespace

double six_digits(double v) { return std::isfinite(v) ? std::stod(fmt::format("{:.6g}", v)) : v; }

std::string print_index(const ArchiveIndex& index) { return print(to_document(index)); }

ArchiveIndex parse_index(const std::string& text, const std::string& what) {
  return from_document(parse_json(text, what + ": archive index"), 0, what);
}

Bytes pack_index(const ArchiveIndex& index) {
  ordered_json document = to_document(index);
  ByteWriter figures;
  for_each_figure(document, [&](ordered_json& object, const char* key) {
    const ordered_json value = object[key];
    if (is_error(key)) {
      figures.put(value.is_null() ? std::numeric_limits<float>::infinity() : value.template get<float>());
    } else {
      figures.put(parse_hash(value, "index"));
    }
    object.erase(key);
  });
  change_profiles(document, false);
  const std::string text = print(document);
  const Bytes packed = zstd_compressed({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  ByteWriter out;
  out.put_varint(packed.size());
  out.put_bytes(packed);
  out.put_bytes(figures.span());
  return out.take();
}

ArchiveIndex unpack_index(ByteSpan bytes, const std::string& what) {
  ByteReader in(bytes, what + ": archive index");
  const uint64_t size = in.get_varint();
  const ByteSpan packed = in.get_bytes(size);
  const uint64_t text_size = zstd_stated_size(packed);
  if (text_size > kMaxIndexText) throw_input("{}: expected zstd data of a text", in.what());
  const Bytes text = zstd_decompressed(packed, text_size, in.what());
  json document = parse_json({reinterpret_cast<const char*>(text.data()), text.size()}, in.what());
  for (const char* key : {"tensors", "files"}) {
    for (const json& object : array_member(document, key, what)) {
      if (!object.is_object()) throw_input("{}: expected objects under '{}', found {}", in.what(), key, object.dump());
    }
  }
  for (const json& t : document["tensors"]) {
    for (const char* key : {"eigenvalues", "row_energies"}) {
      if (t.contains(key)) text_member(t, key, what);
    }
  }
  object_member(document, "source", what);
  for_each_figure(document, [&](json& object, const char* key) {
    if (is_error(key)) {
      const double value = six_digits(double{in.get<float>()});
      object[key] = std::isfinite(value) ? json(value) : json();
    } else {
      object[key] = hash_hex(in.get<uint64_t>());
    }
  });
  in.expect_done();
  change_profiles(document, true);
  return from_document(document, 1, what);
}

std::map<std::string, std::string> index_metadata(ByteSpan packed) {
  const std::string text = ordered_json({{"version", kFormatVersion}, {"index", hash_hex(hash64(packed))}}).dump();
  return {{kIndexKey, text}, {kCheckKey, hash_hex(hash64(std::string_view(text)))}};
}

std::optional<uint64_t> packed_index_hash(const std::string& value, const std::string& what) {
  const json in = parse_json(value, what + ": archive index");
  const uint64_t version = count_member(in, "version", what);
  if (version == 0) return std::nullopt;
  if (version != static_cast<uint64_t>(kFormatVersion)) {
    throw_input("{}: expected archive format version 0 or {}, found {}", what, kFormatVersion, version);
  }
  return parse_hash(text_member(in, "index", what), what);
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
