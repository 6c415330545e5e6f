#include "io/safetensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <tuple>

#include "base/check.h"
#include "io/elements.h"
#include "io/json.h"

namespace occ {
namespace {

using nlohmann::json;

// A tensor and the range of its data.
struct Entry {
  TensorInfo info;
  uint64_t begin = 0;
  uint64_t end = 0;
  const SmallFloat* small = nullptr;
};

// The member `key` of an entry, or an input error.
const json& member(const json& entry, const char* key, const std::string& where) {
  const auto at = entry.find(key);
  if (at == entry.end()) throw_input("{}: expected a member '{}', found none", where, key);
  return *at;
}

std::vector<uint64_t> counts(const json& value, const char* key, const std::string& where) {
  if (!value.is_array()) throw_input("{}: expected '{}' to be an array, found {}", where, key, value.type_name());
  std::vector<uint64_t> out;
  out.reserve(value.size());
  for (const json& v : value) {
    if (!v.is_number_unsigned()) {
      throw_input("{}: expected non-negative integers below 2^64 in '{}', found {}", where, key,
                  printable(v.dump(-1, ' ', true), 40));
    }
    out.push_back(v.get<uint64_t>());
  }
  return out;
}

Entry parse_entry(const std::string& name, const json& value, uint64_t data_bytes, const std::string& path) {
  const std::string where = fmt::format("{}, tensor '{}'", path, printable(name));
  if (!value.is_object()) throw_input("{}: expected an object, found {}", where, value.type_name());
  const json& dtype = member(value, "dtype", where);
  if (!dtype.is_string()) throw_input("{}: expected 'dtype' to be a string, found {}", where, dtype.type_name());
  const auto& dtype_text = dtype.get_ref<const std::string&>();
  Entry e;
  e.small = find_small_float(dtype_text);
  const std::optional<DType> parsed = e.small != nullptr ? DType::kBF16 : parse_dtype(dtype_text);
  if (!parsed) {
    throw_input("{}: unsupported dtype, expected one of F64 F32 F16 BF16 F8_* F4 I64..I8 U64..U8 BOOL, found '{}'",
                where, printable(dtype_text, 40));
  }
  e.info.name = name;
  e.info.dtype = *parsed;
  e.info.shape = counts(member(value, "shape", where), "shape", where);
  const std::vector<uint64_t> offsets = counts(member(value, "data_offsets", where), "data_offsets", where);
  if (offsets.size() != 2) throw_input("{}: expected 2 data_offsets, found {}", where, offsets.size());
  e.begin = offsets[0];
  e.end = offsets[1];
  if (e.begin > e.end || e.end > data_bytes) {
    throw_input("{}: expected data_offsets within {} bytes of data, found [{}, {}]", where, data_bytes, e.begin, e.end);
  }
  std::optional<uint64_t> bytes = tensor_bytes(e.info.shape, e.info.dtype);
  if (!bytes) {
    throw_input("{}: expected less than 2^63 bytes in at most 64 dimensions, found shape {} of {}", where,
                shape_text(e.info.shape), dtype_text);
  }
  if (e.small != nullptr) {
    e.info.stored_type = e.small->name;
    const uint64_t elements = *bytes / dtype_size(e.info.dtype), per_byte = 8 / e.small->bits;
    if (elements % per_byte != 0) {
      throw_input("{}: expected whole bytes, found {} elements of {}", where, elements, dtype_text);
    }
    bytes = elements / per_byte;
  }
  if (*bytes != e.end - e.begin) {
    throw_input("{}: expected {} bytes for shape {} of {}, found {}", where, *bytes, shape_text(e.info.shape),
                dtype_text, e.end - e.begin);
  }
  e.info.stored_bytes = *bytes;
  return e;
}

// Elements [first, first + count) of small floats, whose first byte stands at `offset`.
void read_small(const SmallFloat& type, const InputFile& file, uint64_t offset, uint64_t first, uint64_t count,
                float* out) {
  uint8_t panel[kPanelBytes];
  const uint64_t per_byte = 8 / type.bits, mask = (uint64_t{1} << type.bits) - 1;
  for (uint64_t at = first; at < first + count;) {
    const uint64_t byte = at / per_byte, end = std::min(first + count, (byte + kPanelBytes) * per_byte);
    file.read(offset + byte, panel, (end - 1) / per_byte - byte + 1);
    for (; at < end; ++at) {
      const unsigned shift = static_cast<unsigned>(at % per_byte) * type.bits;
      *out++ = type.values[(panel[at / per_byte - byte] >> shift) & mask];
    }
  }
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
  const std::string& name = file_.path();
  if (file_.size() < 8) throw_input("{}: expected a safetensors header, found {} bytes", name, file_.size());
  uint64_t header_bytes = 0;
  file_.read(0, &header_bytes, 8);
  if (std::string_view(reinterpret_cast<const char*>(&header_bytes), 1) == "<") {  // a length of 60 has zeros behind it
    if ((header_bytes >> 32) != 0) throw_input("{}: expected a safetensors file, found a page of HTML or XML", name);
  }
  if (header_bytes > file_.size() - 8 || header_bytes > kMaxSafetensorsHeader) {
    throw_input("{}: expected a header of at most {} bytes, found length {}", name,
                std::min(file_.size() - 8, kMaxSafetensorsHeader), header_bytes);
  }
  const Bytes header = file_.read(8, header_bytes);
  std::vector<std::string> repeated;
  const json root = parse_json({reinterpret_cast<const char*>(header.data()), header.size()}, name, &repeated);
  if (!root.is_object()) throw_input("{}: expected the header to be an object, found {}", name, root.type_name());
  for (const std::string& key : repeated) {
    if (key == "__metadata__" || key == "dtype" || key == "shape" || key == "data_offsets") {
      throw_input("{}: expected distinct keys, found '{}' twice", name, key);
    }
    notes_.push_back(fmt::format("{}: '{}' stands twice in the header, the last counts", name, printable(key)));
  }
  const uint64_t data_start = 8 + header_bytes;
  const uint64_t data_bytes = file_.size() - data_start;

  std::vector<Entry> entries;
  for (const auto& [key, value] : root.items()) {
    if (key != "__metadata__") {
      entries.push_back(parse_entry(key, value, data_bytes, name));
      continue;
    }
    if (value.is_null()) continue;
    if (!value.is_object()) throw_input("{}: expected __metadata__ to be an object, found {}", name, value.type_name());
    for (const auto& [k, v] : value.items()) {
      if (!v.is_string()) {
        throw_input("{}: expected strings in __metadata__, found {} in '{}'", name, v.type_name(), printable(k));
      }
      metadata_.emplace(k, v.get<std::string>());
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.info.name) < std::tie(b.begin, b.end, b.info.name);
  });
  uint64_t covered = 0;
  for (Entry& e : entries) {
    if (e.begin != covered) {
      throw_input("{}, tensor '{}': {}, expected its data at {}, found {}", name, printable(e.info.name),
                  e.begin < covered ? "overlaps another" : "hole before it", covered, e.begin);
    }
    covered = e.end;
    offsets_.push_back(data_start + e.begin);
    small_.push_back(e.small);
    tensors_.push_back(std::move(e.info));
  }
  if (covered != data_bytes) {
    throw_input("{}: expected tensors to cover {} bytes of data, found {}", name, data_bytes, covered);
  }
}

void SafetensorsFile::read_f32(size_t i, uint64_t first, uint64_t count, float* out) const {
  check_range(tensors_[i], first, count);
  if (const SmallFloat* small = small_[i]) return read_small(*small, file_, offsets_[i], first, count, out);
  const DType dtype = tensors_[i].dtype;
  read_elements_f32(file_, offsets_[i] + first * dtype_size(dtype), dtype, count, out);
}

void SafetensorsFile::read_raw(size_t i, uint64_t first, uint64_t count, void* out) const {
  check_range(tensors_[i], first, count);
  if (small_[i] != nullptr) {
    std::vector<float> values(count);
    read_f32(i, first, count, values.data());
    return convert_from_f32(tensors_[i].dtype, values.data(), out, count);
  }
  const uint64_t size = dtype_size(tensors_[i].dtype);
  file_.read(offsets_[i] + first * size, out, count * size);
}

namespace {

// The beginning of a file (the length and the header), and the positions of the tensors relative to its end.
struct Layout {
  Bytes head;
  std::vector<uint64_t> offsets, sizes;  // of each tensor's data
  uint64_t data_bytes = 0;
};

Layout lay_out(const std::string& path, const std::vector<OutTensor>& tensors,
               const std::map<std::string, std::string>& metadata) {
  Layout out;
  const auto quoted = [&](const std::string& text) {
    try {
      return json(text).dump();
    } catch (const json::exception&) {
      throw_usage("{}: expected UTF-8 in names and metadata, found '{}'", path, printable(text));
    }
  };
  std::set<std::string> names = {"__metadata__"};
  uint64_t total = 0;
  bool aligned = true;
  for (const OutTensor& t : tensors) {
    const std::optional<uint64_t> bytes = tensor_bytes(t.shape, t.dtype);
    if (!bytes || *bytes > (uint64_t{1} << 62) - total) {
      throw_usage("{}, tensor '{}': too large for one file, shape {}", path, printable(t.name), shape_text(t.shape));
    }
    if (!names.insert(t.name).second) {
      throw_usage("{}, tensor '{}': name used twice or reserved", path, printable(t.name));
    }
    aligned = aligned && total % dtype_size(t.dtype) == 0;
    out.offsets.push_back(total);
    out.sizes.push_back(*bytes);
    total += *bytes;
  }
  if (!aligned) {
    std::vector<size_t> order(tensors.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return dtype_size(tensors[a].dtype) > dtype_size(tensors[b].dtype); });
    uint64_t at = 0;
    for (const size_t i : order) {
      out.offsets[i] = at;
      at += out.sizes[i];
    }
  }
  std::string header = "{";
  if (!metadata.empty()) {
    header += R"("__metadata__":{)";
    for (const auto& [key, value] : metadata) header += quoted(key) + ':' + quoted(value) + ',';
    header.back() = '}';
    header += ',';
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    header += fmt::format(R"({}:{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}},)", quoted(tensors[i].name),
                          dtype_name(tensors[i].dtype), json(tensors[i].shape).dump(), out.offsets[i],
                          out.offsets[i] + out.sizes[i]);
  }
  if (header.back() == ',') header.pop_back();
  header += '}';
  header.resize((8 + header.size() + 63) / 64 * 64 - 8, ' ');
  if (header.size() > kMaxSafetensorsHeader) {
    throw_usage("{}: header too large, expected at most {} bytes, found {}", path, kMaxSafetensorsHeader,
                header.size());
  }
  out.data_bytes = total;
  ByteWriter head;
  head.put<uint64_t>(header.size());
  head.put_array(header.data(), header.size());
  out.head = head.take();
  return out;
}

}  // namespace

uint64_t safetensors_file_bytes(const std::vector<OutTensor>& tensors,
                                const std::map<std::string, std::string>& metadata) {
  const Layout layout = lay_out("safetensors", tensors, metadata);
  return layout.head.size() + layout.data_bytes;
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, std::vector<OutTensor> tensors,
                                     const std::map<std::string, std::string>& metadata, bool sync)
    : file_(path, sync) {
  Layout layout = lay_out(path.string(), tensors, metadata);
  file_.write(layout.head);
  offsets_ = std::move(layout.offsets);
  sizes_ = std::move(layout.sizes);
  for (uint64_t& offset : offsets_) offset += file_.position();
  file_bytes_ = file_.position() + layout.data_bytes;
}

void SafetensorsWriter::write(const void* data, uint64_t bytes) {
  const auto* p = static_cast<const uint8_t*>(data);
  while (bytes > 0) {
    OCC_CHECK(current_ < sizes_.size());  // more data than the tensors hold
    const uint64_t n = std::min(bytes, sizes_[current_] - within_);
    file_.write_at(offsets_[current_] + within_, p, n);
    p += n;
    bytes -= n;
    within_ += n;
    if (within_ == sizes_[current_]) {
      ++current_;
      within_ = 0;
    }
  }
}

void SafetensorsWriter::write_tensor(size_t i, ByteSpan bytes) {
  OCC_CHECK(bytes.size() == sizes_[i]);
  file_.write_at(offsets_[i], bytes.data(), bytes.size());
  ++whole_;
}

void SafetensorsWriter::commit() {
  if (whole_ != 0) {
    OCC_CHECK(whole_ == sizes_.size());
    return file_.commit();
  }
  while (current_ < sizes_.size() && sizes_[current_] == 0) ++current_;
  OCC_CHECK(current_ == sizes_.size());  // less data than the tensors hold
  file_.commit();
}

}  // namespace occ
