#include "io/gguf_writer.h"

#include <algorithm>
#include <optional>

#include "base/bytes.h"
#include "base/check.h"
#include "base/error.h"
#include "base/file.h"
#include "io/gguf_blocks.h"
#include "io/gguf_header.h"
#include "io/gguf_json.h"
#include "io/json.h"

namespace occ {
namespace {

constexpr uint32_t kQuantizationVersion = 2;  // GGML_QNT_VERSION: the layout of blocks
constexpr size_t kMaxNameBytes = 63;          // GGML_MAX_NAME of ggml without the final zero byte

void put(ByteWriter& out, std::string_view text) {
  out.put<uint64_t>(text.size());
  out.put_array(text.data(), text.size());
}

void put(ByteWriter& out, const GgufArray& array) {
  out.put(static_cast<uint32_t>(array.items.index()));
  out.put<uint64_t>(array.size());
  std::visit(
      [&]<typename T>(const std::vector<T>& items) {
        if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, GgufArray>) {
          for (const T& item : items) put(out, item);
        } else if constexpr (std::is_same_v<T, bool>) {
          for (const bool item : items) out.put<uint8_t>(item);
        } else {
          out.put_array(items.data(), items.size());
        }
      },
      array.items);
}

void put(ByteWriter& out, const GgufEntry& entry) {
  put(out, entry.key);
  out.put(static_cast<uint32_t>(entry.value.index()));
  std::visit(
      [&]<typename T>(const T& value) {
        if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, GgufArray>) {
          put(out, value);
        } else if constexpr (std::is_same_v<T, bool>) {
          out.put<uint8_t>(value);
        } else {
          out.put(value);
        }
      },
      entry.value);
}

// The value of general.file_type (enum llama_ftype of llama.cpp) for the float type that most values have. Returns
// nothing if no tensor has the type F32, F16 or BF16.
std::optional<uint32_t> file_type(const std::vector<OutTensor>& tensors) {
  uint64_t f32 = 0;
  uint64_t f16 = 0;
  uint64_t bf16 = 0;
  for (const OutTensor& t : tensors) {
    uint64_t n = 1;
    for (const uint64_t d : t.shape) n *= d;
    if (t.dtype == DType::kF32) f32 += n;
    if (t.dtype == DType::kF16) f16 += n;
    if (t.dtype == DType::kBF16) bf16 += n;
  }
  const uint64_t most = std::max({f32, f16, bf16});
  if (most == 0) return std::nullopt;
  return most == f32 ? 0 : most == f16 ? 1 : 32;
}

class GgufSink final : public TensorSink {
 public:
  GgufSink(const std::filesystem::path& path, GgufMetadata metadata, const SinkOptions& options)
      : path_(path.string()),
        metadata_(std::move(metadata)),
        alignment_(gguf_alignment(metadata_, path_)),
        file_type_(options.gguf_file_type),
        file_(path, options.sync) {}

  void begin(std::vector<OutTensor> tensors) override {
    OCC_CHECK(!begun_);
    begun_ = true;
    check_names(tensors);
    ByteWriter infos;
    uint64_t offset = 0;
    for (const OutTensor& t : tensors) {
      put_info(infos, t, offset);
      const uint64_t bytes = checked_bytes(t);
      sizes_.push_back(bytes);
      offset += padded(bytes);
    }
    adapt_metadata(tensors);
    ByteWriter header;
    header.put_array("GGUF", 4);
    header.put<uint32_t>(3);
    header.put<uint64_t>(tensors.size());
    header.put<uint64_t>(metadata_.entries().size());
    for (const GgufEntry& e : metadata_.entries()) put(header, e);
    file_.write(header.span());
    file_.write(infos.span());
    if (!sizes_.empty()) file_.pad_to(alignment_);
    skip_finished();
  }

  void write(const void* data, size_t bytes) override {
    const auto* from = static_cast<const uint8_t*>(data);
    while (bytes > 0) {
      OCC_CHECK(current_ < sizes_.size());
      const size_t n = std::min<uint64_t>(bytes, sizes_[current_] - within_);
      file_.write(from, n);
      from += n;
      bytes -= n;
      within_ += n;
      skip_finished();
    }
  }

  void commit() override {
    OCC_CHECK(begun_ && current_ == sizes_.size());
    file_.commit();
  }

 private:
  uint64_t padded(uint64_t bytes) const { return (bytes + alignment_ - 1) / alignment_ * alignment_; }

  // Goes on to the next tensor that still needs bytes.
  void skip_finished() {
    while (current_ < sizes_.size() && within_ == sizes_[current_]) {
      file_.pad_to(alignment_);
      within_ = 0;
      ++current_;
    }
  }

  [[noreturn]] void refuse(const OutTensor& t, std::string_view why) const {
    throw_usage("{}: tensor '{}': GGUF {}", path_, printable(t.name), why);
  }

  void check_names(const std::vector<OutTensor>& tensors) const {
    std::vector<std::string_view> names;
    for (const OutTensor& t : tensors) {
      if (t.name.empty() || t.name.size() > kMaxNameBytes || !is_valid_utf8(t.name)) {
        refuse(t,
               fmt::format("expects a name of 1 to {} bytes in UTF-8, found {} bytes", kMaxNameBytes, t.name.size()));
      }
      names.push_back(t.name);
    }
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end()) throw_usage("{}: tensor '{}': expected once, found twice", path_, printable(*twice));
  }

  // Adapts the keys that describe tensor types, because the metadata may come from a model with other tensor types.
  void adapt_metadata(const std::vector<OutTensor>& tensors) {
    metadata_.erase("general.quantization_version");
    const bool blocks = std::any_of(tensors.begin(), tensors.end(), [](const auto& t) { return t.blocks != nullptr; });
    if (blocks) metadata_.set("general.quantization_version", kQuantizationVersion);
    const std::optional<uint32_t> type = file_type_ ? file_type_ : file_type(tensors);
    if (type) {
      metadata_.set("general.file_type", *type);
    } else {
      metadata_.erase("general.file_type");
    }
  }

  uint64_t checked_bytes(const OutTensor& t) const {
    uint64_t product = 1;  // a dimension of 0 counts as 1, as in the reader
    bool empty = false;
    for (const uint64_t d : t.shape) {
      const uint64_t factor = std::max<uint64_t>(d, 1);
      if (factor > kGgufMaxElements / product) refuse(t, fmt::format("expects at most {} elements", kGgufMaxElements));
      product *= factor;
      empty |= d == 0;
    }
    if (empty) return 0;
    if (t.blocks == nullptr) return product * dtype_size(t.dtype);
    OCC_CHECK(t.shape.back() % t.blocks->block_elements == 0);
    return product / t.blocks->block_elements * t.blocks->block_bytes;
  }

  void put_info(ByteWriter& out, const OutTensor& t, uint64_t offset) const {
    const GgufType* type = t.blocks != nullptr ? t.blocks : find_gguf_type(t.dtype);
    if (type == nullptr) refuse(t, fmt::format("cannot hold {}, only floats and signed integers", dtype_name(t.dtype)));
    if (t.shape.size() > 4) refuse(t, fmt::format("expects at most 4 dimensions, found {}", t.shape.size()));
    std::vector<uint64_t> dims(t.shape.rbegin(), t.shape.rend());
    if (dims.empty()) dims.push_back(1);
    put(out, t.name);
    out.put(static_cast<uint32_t>(dims.size()));
    out.put_array(dims.data(), dims.size());
    out.put(type->id);
    out.put(offset);
  }

  std::string path_;
  GgufMetadata metadata_;
  uint64_t alignment_;
  std::optional<uint32_t> file_type_;
  OutputFile file_;
  bool begun_ = false;
  std::vector<uint64_t> sizes_;
  size_t current_ = 0;   // tensor that the next byte belongs to
  uint64_t within_ = 0;  // bytes of it written
};

}  // namespace

std::unique_ptr<TensorSink> make_gguf_sink(const std::filesystem::path& path, const SinkOptions& options) {
  for (const SideFile& side : options.side_files) {
    if (side.name != kGgufSideFile) continue;
    const std::string_view text(reinterpret_cast<const char*>(side.bytes.data()), side.bytes.size());
    return std::make_unique<GgufSink>(path, parse_gguf_metadata_json(text, kGgufSideFile), options);
  }
  GgufMetadata metadata;
  metadata.append("general.architecture", std::string("unknown"));
  metadata.append("general.name", path.stem().string());
  return std::make_unique<GgufSink>(path, std::move(metadata), options);
}

}  // namespace occ
