#include "io/npy.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <set>

#include "base/check.h"
#include "io/elements.h"
#include "io/json.h"

namespace occ {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr uint64_t kMaxHeader = kMostNpyStart - 12;
constexpr uint64_t kColumnBytes = uint64_t{4} << 20;  // of an array in Fortran order, reordered at a time

struct Descr {
  std::string_view text;  // without the byte order
  DType dtype;
};
constexpr std::array<Descr, 12> kDescrs = {{{"f8", DType::kF64},
                                            {"f4", DType::kF32},
                                            {"f2", DType::kF16},
                                            {"i8", DType::kI64},
                                            {"i4", DType::kI32},
                                            {"i2", DType::kI16},
                                            {"i1", DType::kI8},
                                            {"u8", DType::kU64},
                                            {"u4", DType::kU32},
                                            {"u2", DType::kU16},
                                            {"u1", DType::kU8},
                                            {"b1", DType::kBool}}};

// Parses the part of the Python syntax that numpy writes: {'key': 'text' | True | False | (1, 2,), ...}, with the keys
// in any order and with any white space.
class DictParser {
 public:
  DictParser(std::string_view text, const std::string& what) : text_(text), what_(what) {}

  NpyHeader parse() {
    NpyHeader header;
    std::set<std::string_view> seen;
    expect('{');
    while (!accept('}')) {
      const std::string_view key = string();
      if (!seen.insert(key).second) fail(fmt::format("distinct keys, found '{}' twice", printable(key, 40)));
      expect(':');
      if (key == "descr") {
        header.dtype = dtype();
      } else if (key == "fortran_order") {
        header.fortran_order = boolean();
      } else if (key == "shape") {
        header.shape = tuple();
      } else {
        fail(fmt::format("only descr, fortran_order and shape, found '{}'", printable(key, 40)));
      }
      if (!accept(',') && peek() != '}') fail("',' or '}'");
    }
    if (peek() != '\0' || at_ != text_.size()) fail("nothing after the dict");
    if (seen.size() != 3) fail("descr, fortran_order and shape");
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& expected) const {
    throw_input("{}: npy header, byte {}: expected {}", what_, at_, expected);
  }
  // The next character that is not white space, or 0 at the end of the text.
  char peek() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r')) {
      ++at_;
    }
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(fmt::format("'{}', found '{}'", c, printable(text_.substr(at_, 1))));
  }
  std::string_view string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') fail("a string");
    const size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) fail("the end of a string");
    const std::string_view out = text_.substr(at_ + 1, end - at_ - 1);
    if (out.find('\\') != std::string_view::npos) fail("a string without escapes");
    at_ = end + 1;
    return out;
  }
  bool boolean() {
    peek();
    for (const std::string_view word : {"True", "False"}) {
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        return word == "True";
      }
    }
    fail("True or False");
  }
  std::vector<uint64_t> tuple() {
    std::vector<uint64_t> out;
    expect('(');
    while (!accept(')')) {
      peek();
      uint64_t value = 0;
      const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
      if (error != std::errc()) fail("a non-negative integer below 2^64");
      at_ = static_cast<size_t>(end - text_.data());
      accept('L');  // long integers of Python 2
      out.push_back(value);
      if (accept(',')) continue;
      if (peek() != ')' || out.size() == 1) fail("',' or ')'");  // (3) is no tuple
    }
    return out;
  }
  DType dtype() {
    if (peek() == '[') fail("a plain number type, found a structured one");
    const std::string_view descr = string();
    const std::string_view type = descr.substr(std::min<size_t>(1, descr.size()));
    const auto at = std::find_if(kDescrs.begin(), kDescrs.end(), [&](const Descr& d) { return d.text == type; });
    if (at != kDescrs.end() && descr[0] == '>' && dtype_size(at->dtype) > 1) {
      fail(fmt::format("little-endian data, found big-endian '{}'", descr));
    }
    const bool order = !descr.empty() && (descr[0] == '<' || descr[0] == '|' || descr[0] == '>');
    if (at == kDescrs.end() || !order || (descr[0] == '|' && dtype_size(at->dtype) > 1)) {
      fail(fmt::format("descr one of <f2 <f4 <f8 |i1 <i2 <i4 <i8 |u1 <u2 <u4 <u8 |b1, found '{}'",
                       printable(descr, 40)));
    }
    return at->dtype;
  }

  std::string_view text_;
  const std::string& what_;
  size_t at_ = 0;
};

class NpySink final : public TensorSink {
 public:
  NpySink(const std::filesystem::path& path, bool sync) : path_(path), file_(path, sync) {}

  void begin(std::vector<OutTensor> tensors) override {
    const std::string path = path_.string();
    if (tensors.size() != 1) {
      throw_usage("{}: npy holds one tensor, found {}: name one with --tensor", path, tensors.size());
    }
    const OutTensor& t = tensors[0];
    if (t.dtype == DType::kBF16) {
      throw_usage("{}, tensor '{}': npy has no BF16, use --dtype f32 or f16", path, printable(t.name));
    }
    const std::optional<uint64_t> bytes = tensor_bytes(t.shape, t.dtype);
    if (!bytes) throw_usage("{}, tensor '{}': too large, shape {}", path, printable(t.name), shape_text(t.shape));
    const std::string header = format_npy_header({t.dtype, false, t.shape});
    file_.write(header.data(), header.size());
    left_ = *bytes;
  }
  void write(const void* data, size_t bytes) override {
    OCC_CHECK(bytes <= left_);
    file_.write(data, bytes);
    left_ -= bytes;
  }
  void commit() override {
    OCC_CHECK(left_ == 0);
    file_.commit();
  }

 private:
  std::filesystem::path path_;
  OutputFile file_;
  uint64_t left_ = 0;
};

}  // namespace

NpyHeader parse_npy_header(std::string_view text, const std::string& what) { return DictParser(text, what).parse(); }

std::string format_npy_header(const NpyHeader& header) {
  const auto* descr =
      std::find_if(kDescrs.begin(), kDescrs.end(), [&](const Descr& d) { return d.dtype == header.dtype; });
  OCC_CHECK(descr != kDescrs.end());
  std::string dict =
      fmt::format("{{'descr': '{}{}', 'fortran_order': {}, 'shape': ({}{}), }}",
                  dtype_size(header.dtype) == 1 ? '|' : '<', descr->text, header.fortran_order ? "True" : "False",
                  fmt::join(header.shape, ", "), header.shape.size() == 1 ? "," : "");
  constexpr size_t kPreamble = 10;
  dict.resize((kPreamble + dict.size() + 1 + 63) / 64 * 64 - kPreamble - 1, ' ');
  dict += '\n';
  std::string out(kMagic);
  out += {'\1', '\0', static_cast<char>(dict.size() & 0xff), static_cast<char>(dict.size() >> 8)};
  return out + dict;
}

NpyStart parse_npy_start(ByteSpan start, const std::string& what) {
  ByteReader in(start, what + ", npy header");
  const ByteSpan magic = in.get_bytes(kMagic.size());
  if (!std::equal(magic.begin(), magic.end(), reinterpret_cast<const uint8_t*>(kMagic.data()))) {
    throw_input("{}: expected an npy file, found other magic bytes", what);
  }
  const auto major = in.get<uint8_t>();
  const auto minor = in.get<uint8_t>();
  if (major < 1 || major > 3 || minor != 0) {
    throw_input("{}: expected npy version 1.0, 2.0 or 3.0, found {}.{}", what, major, minor);
  }
  const uint64_t length = major == 1 ? in.get<uint16_t>() : in.get<uint32_t>();
  if (length > kMaxHeader)
    throw_input("{}: expected an npy header of at most {} bytes, found {}", what, kMaxHeader, length);
  const ByteSpan text = in.get_bytes(length);
  return {parse_npy_header({reinterpret_cast<const char*>(text.data()), text.size()}, what), in.at()};
}

TensorInfo npy_tensor(const NpyHeader& header, const std::string& name, uint64_t data_bytes, const std::string& what) {
  TensorInfo info;
  info.name = printable(name, 255);
  info.shape = header.shape;
  info.dtype = header.dtype;
  const std::optional<uint64_t> bytes = tensor_bytes(info.shape, info.dtype);
  if (!bytes) {
    throw_input("{}: expected less than 2^63 bytes in at most 64 dimensions, found shape {}", what,
                shape_text(info.shape));
  }
  if (*bytes != data_bytes) {
    throw_input("{}: expected {} bytes for shape {} of {}, found {}", what, *bytes, shape_text(info.shape),
                dtype_name(info.dtype), data_bytes);
  }
  info.stored_bytes = *bytes;
  return info;
}

NpyFile::NpyFile(const std::filesystem::path& path) : file_(path) {
  const Bytes start = file_.read(0, std::min(file_.size(), kMostNpyStart));
  const NpyStart at = parse_npy_start(start, file_.path());
  data_offset_ = at.data_offset;
  tensors_.push_back(npy_tensor(at.header, path.stem().string(), file_.size() - data_offset_, file_.path()));
  const TensorInfo& info = tensors_[0];
  reordered_ = at.header.fortran_order && info.shape.size() > 1 && info.stored_bytes != 0;
}

// The values are read by columns, in which they lie in the file, some columns at a time.
const Bytes& NpyFile::row_major() const {
  return row_major_.get([&] {
    const TensorInfo& info = tensors_[0];
    const uint64_t size = dtype_size(info.dtype), cols = info.shape.back(), rows = info.elements() / cols;
    const uint64_t most = std::max<uint64_t>(1, kColumnBytes / (rows * size));
    Bytes all(info.stored_bytes);
    TensorInfo some = info;  // these columns
    for (uint64_t first = 0; first < cols; first += most) {
      const uint64_t n = some.shape.back() = std::min(most, cols - first);
      const Bytes columns = file_.read(data_offset_ + first * rows * size, rows * n * size);
      Bytes ordered(columns.size());
      gather_fortran(some, columns.data(), 0, rows * n, ordered.data());
      for (uint64_t r = 0; r < rows; ++r) {
        std::memcpy(&all[(r * cols + first) * size], &ordered[r * n * size], n * size);
      }
    }
    return all;
  });
}

void NpyFile::read_f32(size_t i, uint64_t first, uint64_t count, float* out) const {
  const TensorInfo& info = tensors_[i];
  check_range(info, first, count);
  const uint64_t size = dtype_size(info.dtype);
  if (!reordered_) return read_elements_f32(file_, data_offset_ + first * size, info.dtype, count, out);
  convert_to_f32(info.dtype, row_major().data() + first * size, out, count);
}

void NpyFile::read_raw(size_t i, uint64_t first, uint64_t count, void* out) const {
  const TensorInfo& info = tensors_[i];
  check_range(info, first, count);
  const uint64_t size = dtype_size(info.dtype);
  if (!reordered_) return file_.read(data_offset_ + first * size, out, count * size);
  if (count != 0) std::memcpy(out, row_major().data() + first * size, count * size);
}

// In Fortran order, element (k0, k1, ...) of a tensor of shape (d0, d1, ...) has the position
// k0 + d0 (k1 + d1 (k2 + ...)). In row-major order the last index changes fastest.
void gather_fortran(const TensorInfo& tensor, const uint8_t* data, uint64_t first, uint64_t count, uint8_t* out) {
  const std::vector<uint64_t>& shape = tensor.shape;
  const uint64_t size = dtype_size(tensor.dtype);
  const uint64_t cols = shape.back();
  const uint64_t step = tensor.elements() / cols * size;  // bytes from one column to the next
  while (count > 0) {
    uint64_t rest = first / cols;  // index of the row, its digits from the last dimension but one to the first
    uint64_t at = 0;
    uint64_t stride = step / size;
    for (size_t d = shape.size() - 1; d-- > 0;) {
      stride /= shape[d];
      at += rest % shape[d] * stride;
      rest /= shape[d];
    }
    const uint64_t col = first % cols;
    const uint64_t n = std::min(count, cols - col);
    const uint8_t* from = data + at * size + col * step;
    const auto copy = [&]<size_t kSize>(std::integral_constant<size_t, kSize>) {
      for (uint64_t k = 0; k < n; ++k) std::memcpy(out + k * kSize, from + k * step, kSize);
    };
    switch (size) {
      case 1:
        copy(std::integral_constant<size_t, 1>());
        break;
      case 2:
        copy(std::integral_constant<size_t, 2>());
        break;
      case 4:
        copy(std::integral_constant<size_t, 4>());
        break;
      default:
        copy(std::integral_constant<size_t, 8>());
    }
    out += n * size;
    first += n;
    count -= n;
  }
}

std::unique_ptr<TensorSink> make_npy_sink(const std::filesystem::path& path, const SinkOptions& options) {
  return std::make_unique<NpySink>(path, options.sync);
}

}  // namespace occ
