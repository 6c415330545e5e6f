#include "io/gguf_header.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "io/json.h"

namespace occ {
namespace {

// Reads the header from front to back through one buffer, which is filled by positioned reads.
class HeaderReader {
 public:
  explicit HeaderReader(const InputFile& file) : file_(file), limit_(std::min(file.size(), kGgufMaxHeaderBytes)) {}

  // What is being read, for error messages.
  void set_context(std::string context) { context_ = std::move(context); }
  std::string where() const { return context_.empty() ? file_.path() : file_.path() + ": " + context_; }
  uint64_t at() const { return at_; }

  template <typename T>
  T get() {
    T value;
    get_items(&value, 1);
    return value;
  }
  // Numbers of any size, in the order of bytes of this machine.
  template <typename T>
  void get_items(T* out, size_t count) {
    get_bytes(out, count * sizeof(T));
    if (!big_endian_ || sizeof(T) == 1) return;
    for (size_t i = 0; i < count; ++i) {
      auto* bytes = reinterpret_cast<uint8_t*>(out + i);
      std::reverse(bytes, bytes + sizeof(T));
    }
  }
  // A length, a count or a dimension.
  uint64_t get_size() { return version_ == 1 ? get<uint32_t>() : get<uint64_t>(); }
  uint64_t size_bytes() const { return version_ == 1 ? 4 : 8; }
  // Must be set as soon as they are known.
  void set_form(uint32_t version, bool big_endian) {
    version_ = version;
    big_endian_ = big_endian;
  }
  // Throws an input error unless enough bytes are left for `count` items of at least `bytes` bytes each.
  void require(uint64_t count, uint64_t bytes, std::string_view what) const {
    if (count <= (limit_ - at_) / bytes) return;
    if (limit_ < file_.size()) {
      throw_input("{}: {}: expected a header of at most {} bytes, found {} items at byte {}", where(), what,
                  kGgufMaxHeaderBytes, count, at_);
    }
    throw_input("{}: {}: expected {} x {} bytes at byte {}, found {}", where(), what, count, bytes, at_, limit_ - at_);
  }
  void get_bytes(void* out, size_t count) {
    require(count, 1, "truncated");
    auto* to = static_cast<uint8_t*>(out);
    while (count > 0) {
      if (at_ < window_at_ || at_ >= window_at_ + window_.size()) {
        window_ = file_.read(at_, std::min<uint64_t>(limit_ - at_, kWindow));
        window_at_ = at_;
      }
      const size_t from = at_ - window_at_;
      const size_t n = std::min(count, window_.size() - from);
      std::memcpy(to, window_.data() + from, n);
      to += n;
      at_ += n;
      count -= n;
    }
  }
  std::string get_string(std::string_view what, uint64_t max_bytes = std::numeric_limits<uint64_t>::max()) {
    const uint64_t size = get_size();
    if (size > max_bytes) {
      throw_input("{}: {}: expected at most {} bytes, found {}", where(), what, max_bytes, size);
    }
    require(size, 1, what);
    std::string text(size, '\0');
    get_bytes(text.data(), size);
    return text;
  }

 private:
  static constexpr uint64_t kWindow = uint64_t{1} << 18;

  const InputFile& file_;
  uint64_t limit_;
  uint64_t at_ = 0;
  Bytes window_;
  uint64_t window_at_ = 0;
  std::string context_;
  uint32_t version_ = 0;
  bool big_endian_ = false;
};

uint32_t get_type(HeaderReader& in) {
  const uint32_t type = in.get<uint32_t>();
  if (type >= kGgufTypes) throw_input("{}: expected a value type below {}, found {}", in.where(), kGgufTypes, type);
  return type;
}

bool get_bool(HeaderReader& in) {
  const uint8_t byte = in.get<uint8_t>();
  if (byte > 1) throw_input("{}: expected a bool of 0 or 1, found {}", in.where(), byte);
  return byte != 0;
}

GgufArray get_array(HeaderReader& in, int depth) {
  if (depth > kGgufMaxNesting) {
    throw_input("{}: expected arrays nested at most {} deep, found more", in.where(), kGgufMaxNesting);
  }
  const uint32_t type = get_type(in);
  const uint64_t count = in.get_size();
  return with_gguf_type(type, [&]<typename T>(std::type_identity<T>) -> GgufArray {
    std::vector<T> items;
    if constexpr (std::is_same_v<T, GgufArray>) {
      in.require(count, 4 + in.size_bytes(), "array of arrays");
      for (uint64_t i = 0; i < count; ++i) items.push_back(get_array(in, depth + 1));
    } else if constexpr (std::is_same_v<T, std::string>) {
      in.require(count, in.size_bytes(), "array of strings");
      items.reserve(count);
      for (uint64_t i = 0; i < count; ++i) items.push_back(in.get_string("string in an array"));
    } else if constexpr (std::is_same_v<T, bool>) {
      in.require(count, 1, "array of bools");
      items.reserve(count);
      for (uint64_t i = 0; i < count; ++i) items.push_back(get_bool(in));
    } else {
      in.require(count, sizeof(T), "array");
      items.resize(count);
      in.get_items(items.data(), count);
    }
    return {std::move(items)};
  });
}

GgufValue get_value(HeaderReader& in, uint32_t type) {
  return with_gguf_type(type, [&]<typename T>(std::type_identity<T>) -> GgufValue {
    if constexpr (std::is_same_v<T, GgufArray>) {
      return get_array(in, 1);
    } else if constexpr (std::is_same_v<T, std::string>) {
      return in.get_string("string");
    } else if constexpr (std::is_same_v<T, bool>) {
      return get_bool(in);
    } else {
      return in.get<T>();
    }
  });
}

void get_metadata(HeaderReader& in, const std::string& path, uint64_t count, GgufMetadata& metadata) {
  in.require(count, in.size_bytes() + 6, "metadata");
  for (uint64_t i = 0; i < count; ++i) {
    in.set_context(fmt::format("metadata key {}", i));
    std::string key = in.get_string("name", kGgufMaxNameBytes);
    in.set_context(fmt::format("metadata key '{}'", printable(key)));
    if (key.empty() || !is_valid_utf8(key)) throw_input("{}: expected a name in UTF-8", in.where());
    const uint32_t type = get_type(in);
    GgufValue value = get_value(in, type);
    metadata.append(std::move(key), std::move(value));
  }
  in.set_context("");
  metadata.check_unique(path);
}

// Which part of a model that is split into several files this one is.
void read_split(const std::string& path, GgufHeader* header) {
  header->parts = std::max<uint64_t>(1, header->metadata.uint("split.count").value_or(1));
  header->part = header->metadata.uint("split.no").value_or(0);
  if (header->parts > kGgufMaxParts || header->part >= header->parts) {
    throw_input("{}: expected a part of at most {} files, found number {} of {}", path, kGgufMaxParts, header->part,
                header->parts);
  }
}

GgufTensor get_tensor(HeaderReader& in, uint64_t index, bool big_endian) {
  GgufTensor t;
  in.set_context(fmt::format("tensor {}", index));
  t.name = in.get_string("name", kGgufMaxNameBytes);
  in.set_context(fmt::format("tensor '{}'", printable(t.name)));
  if (t.name.empty() || !is_valid_utf8(t.name)) throw_input("{}: expected a name in UTF-8", in.where());
  const uint32_t dims = in.get<uint32_t>();
  if (dims < 1 || dims > 4) throw_input("{}: expected 1 to 4 dimensions, found {}", in.where(), dims);
  t.shape.resize(dims);
  for (uint64_t& d : t.shape) d = in.get_size();
  // A dimension of 0 counts as 1 here. Otherwise an empty tensor could hide that the product of its other dimensions
  // overflows.
  uint64_t product = 1;
  for (const uint64_t d : t.shape) {
    const uint64_t factor = std::max<uint64_t>(d, 1);
    if (factor > kGgufMaxElements / product) {
      throw_input("{}: expected at most {} elements, found dimensions [{}]", in.where(), kGgufMaxElements,
                  fmt::join(t.shape, ", "));
    }
    product *= factor;
  }
  t.elements = std::count(t.shape.begin(), t.shape.end(), 0) != 0 ? 0 : product;
  const uint64_t row = t.shape[0];
  std::reverse(t.shape.begin(), t.shape.end());

  const uint32_t id = in.get<uint32_t>();
  t.type = find_gguf_type(id);
  if (t.type == nullptr || !t.type->supported()) {
    throw_input("{}: tensor type {} ({}) is not supported", in.where(), id,
                t.type == nullptr ? "unknown to this program" : t.type->name);
  }
  if (big_endian && !t.type->halves) {
    throw_input("{}: tensor type {} is not supported in big-endian files", in.where(), t.type->name);
  }
  if (row % t.type->block_elements != 0) {
    throw_input("{}: expected rows in multiples of {} ({}), found {}", in.where(), t.type->block_elements, t.type->name,
                row);
  }
  t.bytes = t.elements / t.type->block_elements * t.type->block_bytes;  // below 2^51
  t.offset = in.get<uint64_t>();
  return t;
}

// Turns the offsets into positions in the file. Throws an input error unless all data is aligned, lies inside the file
// and does not overlap, and all names are distinct.
void place_tensors(std::vector<GgufTensor>& tensors, uint64_t header_end, uint64_t alignment, const InputFile& file) {
  const uint64_t start = (header_end + alignment - 1) / alignment * alignment;  // both far below 2^63
  for (GgufTensor& t : tensors) {
    const std::string name = printable(t.name);
    if (t.offset % alignment != 0) {
      throw_input("{}: tensor '{}': expected an offset in multiples of {}, found {}", file.path(), name, alignment,
                  t.offset);
    }
    if (t.bytes == 0) {
      t.offset = 0;
      continue;
    }
    if (start > file.size() || t.offset > file.size() - start || t.bytes > file.size() - start - t.offset) {
      throw_input("{}: tensor '{}': truncated, expected {} bytes at {} + {}, found a file of {} bytes", file.path(),
                  name, t.bytes, start, t.offset, file.size());
    }
    t.offset += start;
  }
  std::vector<const GgufTensor*> order;
  for (const GgufTensor& t : tensors) order.push_back(&t);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  for (size_t i = 1; i < order.size(); ++i) {
    if (order[i]->name == order[i - 1]->name) {
      throw_input("{}: tensor '{}': expected once, found twice", file.path(), printable(order[i]->name));
    }
  }
  std::erase_if(order, [](const auto* t) { return t->bytes == 0; });
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < order.size(); ++i) {
    const GgufTensor& before = *order[i - 1];
    if (order[i]->offset < before.offset + before.bytes) {
      throw_input("{}: tensor '{}': expected data from byte {} (the end of tensor '{}'), found it at {}", file.path(),
                  printable(order[i]->name), before.offset + before.bytes, printable(before.name), order[i]->offset);
    }
  }
}

}  // namespace

GgufHeader read_gguf_header(const InputFile& file) {
  HeaderReader in(file);
  in.set_context("GGUF header");
  char magic[4];
  in.get_bytes(magic, sizeof(magic));
  if (std::memcmp(magic, "GGUF", 4) != 0) {
    throw_input("{}: expected a GGUF file, found one that starts with '{}'", file.path(),
                printable({magic, sizeof(magic)}));
  }
  GgufHeader header;
  header.version = in.get<uint32_t>();
  header.big_endian = header.version != 0 && (header.version & 0xffff) == 0;
  if (header.big_endian) header.version = __builtin_bswap32(header.version);
  if (header.version < 1 || header.version > 3) {
    throw_input("{}: expected GGUF version 1, 2 or 3, found {}", file.path(), header.version);
  }
  in.set_form(header.version, header.big_endian);
  const uint64_t tensors = in.get_size();
  const uint64_t keys = in.get_size();
  if (tensors > kGgufMaxTensors) {
    throw_input("{}: expected at most {} tensors, found {}", file.path(), kGgufMaxTensors, tensors);
  }
  if (keys > kGgufMaxKeys) {
    throw_input("{}: expected at most {} metadata keys, found {}", file.path(), kGgufMaxKeys, keys);
  }
  get_metadata(in, file.path(), keys, header.metadata);
  read_split(file.path(), &header);
  const uint32_t alignment = gguf_alignment(header.metadata, file.path());
  in.require(tensors, 2 * in.size_bytes() + 17, "tensors");
  for (uint64_t i = 0; i < tensors; ++i) header.tensors.push_back(get_tensor(in, i, header.big_endian));
  place_tensors(header.tensors, in.at(), alignment, file);
  return header;
}

}  // namespace occ
