#include "io/quantized.h"

#include <algorithm>
#include <array>
#include <list>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>

#include "base/check.h"
#include "base/error.h"
#include "base/parallel.h"
#include "io/elements.h"
#include "io/json.h"
#include "io/quantized_formats.h"
#include "io/quantized_rows.h"
#include "io/side_json.h"

namespace occ {
namespace {

using nlohmann::json;

// All formats, by the value of quant_method.
constexpr std::array<QuantizedFormat, 9> kFormats = {{{"awq", find_awq},
                                                      {"auto-round", find_auto_round},
                                                      {"bitsandbytes", find_bitsandbytes},
                                                      {"compressed-tensors", find_compressed_tensors},
                                                      {"fbgemm_fp8", find_fp8},
                                                      {"fp8", find_fp8},
                                                      {"gptq", find_gptq},
                                                      {"modelopt", find_modelopt},
                                                      {"mxfp4", find_mxfp4}}};

// Scales of activations and of the KV cache, which weights do not need.
bool is_of_activations(const std::string& name) {
  for (const char* end : {".input_scale", ".input_zero_point", ".input_global_scale", ".output_scale", ".k_scale",
                          ".v_scale", ".q_scale", ".kv_scale", ".input_scale_ub", ".activation_scale"}) {
    if (name.ends_with(end)) return true;
  }
  return false;
}

// A tensor that only a quantized checkpoint has, or null.
const TensorInfo* sign_of_quantization(const HfFolder& folder) {
  for (const TensorInfo& t : folder.tensors()) {
    for (const char* end : {".qweight", ".qzeros", ".weight_packed", ".absmax", ".SCB", "weight_scale_inv"}) {
      if (t.name.ends_with(end)) return &t;
    }
  }
  return nullptr;
}

class DequantizedFolder final : public TensorFile {
 public:
  DequantizedFolder(std::unique_ptr<HfFolder> folder, const QuantizedFormat& format, const json& config)
      : folder_(std::move(folder)), stored_(*folder_), notes_(folder_->notes()) {
    format.find(stored_, config, &weights_);
    std::vector<std::optional<size_t>> made_of(stored_.all().size());  // stored tensor -> weight
    std::map<std::string, size_t> types;
    for (size_t w = 0; w < weights_.size(); ++w) {
      for (const size_t i : weights_[w].parts) made_of[i] = w;
      ++types[weights_[w].type];
    }
    std::vector<bool> placed(weights_.size());
    std::set<std::string> names;
    for (size_t i = 0; i < made_of.size(); ++i) {
      if (made_of[i]) {
        if (placed[*made_of[i]]) continue;
        placed[*made_of[i]] = true;
        add(info_of(weights_[*made_of[i]]), *made_of[i], true);
      } else {
        if (is_of_activations(stored_.info(i).name)) continue;
        add(stored_.info(i), i, false);
      }
      if (!names.insert(infos_.back().name).second) {
        throw_input("{}: tensor '{}': expected once, found quantized and as floats", path(),
                    printable(infos_.back().name));
      }
    }
    for (const auto& [type, count] : types) {
      notes_.push_back(fmt::format("{} weights are stored as {} and read as floats", count, type));
    }
  }

  std::string path() const override { return folder_->path(); }
  std::string format() const override { return folder_->format(); }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override {
    check_range(infos_[i], first, count);
    if (count == 0) return;
    if (!places_[i].quantized) return folder_->read_f32(places_[i].index, first, count, out);
    const size_t cols = rows_of(infos_[i].shape).cols;
    const std::shared_ptr<Loaded> loaded = load(places_[i].index);
    const uint64_t end = first + count;
    std::vector<float> part;
    for (uint64_t at = first; at < end;) {
      const uint64_t row = at / cols, skip = at % cols;
      const uint64_t whole = skip == 0 ? (end - at) / cols : 0;
      if (whole > 0) {
        loaded->decode(row, MatrixView<float>(out, whole, cols));
        at += whole * cols;
        out += whole * cols;
      } else {
        part.resize(cols);
        loaded->decode(row, MatrixView<float>(part.data(), 1, cols));
        const uint64_t n = std::min(end - at, cols - skip);
        out = std::copy_n(part.data() + skip, n, out);
        at += n;
      }
    }
  }
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override {
    if (!places_[i].quantized) return folder_->read_raw(places_[i].index, first, count, out);
    if (infos_[i].dtype == DType::kF32) return read_f32(i, first, count, static_cast<float*>(out));
    std::vector<float> values(count);
    read_f32(i, first, count, values.data());
    convert_from_f32(infos_[i].dtype, values.data(), out, count);
  }
  size_t read_granularity(size_t i) const override {
    return places_[i].quantized ? weights_[places_[i].index].rows_together : 1;
  }
  std::vector<SideFile> side_files() const override {
    std::vector<SideFile> files = folder_->side_files();
    change_side_json(&files, "config.json", path(), [](json& config) {
      config.erase("quantization_config");
      config.erase("compression_config");
      if (config.contains("text_config") && config["text_config"].is_object()) {
        config["text_config"].erase("quantization_config");
      }
      return true;
    });
    return files;
  }
  std::vector<std::string> notes() const override { return notes_; }
  uint64_t file_bytes() const override { return folder_->file_bytes(); }

 private:
  struct Place {
    size_t index;  // of a weight, or of a stored tensor
    bool quantized;
  };
  // A weight whose parts are in memory.
  struct Loaded {
    size_t weight;
    std::once_flag once;
    DecodeRows decode;
  };

  void add(TensorInfo info, size_t index, bool quantized) {
    infos_.push_back(std::move(info));
    places_.push_back({index, quantized});
  }
  TensorInfo info_of(const QuantizedWeight& w) const {
    TensorInfo info{w.name, w.shape, w.dtype, w.type, 0};
    if (!tensor_bytes(w.shape, w.dtype)) {
      throw_input("{}: tensor '{}': expected less than 2^63 bytes, found shape {}", path(), printable(w.name),
                  shape_text(w.shape));
    }
    for (const size_t i : w.parts) info.stored_bytes += stored_.info(i).stored_bytes;
    return info;
  }
  std::shared_ptr<Loaded> load(size_t weight) const {
    std::shared_ptr<Loaded> loaded;
    {
      const std::lock_guard lock(mutex_);
      const auto at = std::find_if(recent_.begin(), recent_.end(), [&](const auto& l) { return l->weight == weight; });
      if (at != recent_.end()) {
        recent_.splice(recent_.begin(), recent_, at);
      } else {
        recent_.push_front(std::make_shared<Loaded>());
        recent_.front()->weight = weight;
        if (recent_.size() > max_threads() + 1) recent_.pop_back();
      }
      loaded = recent_.front();
    }
    std::call_once(loaded->once, [&] { loaded->decode = weights_[weight].load(); });
    return loaded;
  }

  std::unique_ptr<HfFolder> folder_;
  StoredTensors stored_;
  std::vector<QuantizedWeight> weights_;
  std::vector<TensorInfo> infos_;
  std::vector<Place> places_;
  std::vector<std::string> notes_;
  mutable std::mutex mutex_;
  mutable std::list<std::shared_ptr<Loaded>> recent_;  // the most recently used first
};

// A JSON file of the folder, or null if it has none. One that is not valid is reported by those who need it.
json file_of(const HfFolder& folder, const char* name) {
  const std::filesystem::path path = std::filesystem::path(folder.path()) / name;
  std::error_code ec;
  if (!std::filesystem::is_regular_file(path, ec)) return json();
  try {
    return parse_json_file(path);
  } catch (const Error&) {
    return json();
  }
}

// quantization_config of config.json, or what older tools put into a file of its own; null if there is none.
json find_config(const HfFolder& folder) {
  const json root = file_of(folder, "config.json");
  for (const json& config : {root, root.is_object() ? root.value("text_config", json()) : json()}) {
    if (!config.is_object()) continue;
    for (const char* key : {"quantization_config", "compression_config"}) {
      const json found = config.value(key, json());
      if (found.is_object() && !found.empty()) return found;
    }
  }
  for (const auto& [name, method] :
       {std::pair("quantize_config.json", "gptq"), std::pair("quant_config.json", "awq")}) {
    json found = file_of(folder, name);
    if (!found.is_object()) continue;
    if (!found.contains("quant_method")) found["quant_method"] = method;
    return found;
  }
  if (const json found = file_of(folder, "hf_quant_config.json"); found.is_object()) {
    return {{"quant_method", "modelopt"}};
  }
  return json();
}

std::string method_of(const json& config) {
  for (const char* flag : {"load_in_4bit", "load_in_8bit", "_load_in_4bit", "_load_in_8bit"}) {
    if (json_flag(config, flag)) return "bitsandbytes";
  }
  return json_text(config, "quant_method", config.contains("config_groups") ? "compressed-tensors" : "none");
}

}  // namespace

std::string json_text(const json& object, const char* key, const std::string& otherwise) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : otherwise;
}
bool json_flag(const json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_boolean() && at->get<bool>();
}
size_t json_size(const json& object, const char* key, size_t otherwise) {
  const auto at = object.find(key);
  return at != object.end() && at->is_number_unsigned() ? at->get<size_t>() : otherwise;
}

StoredTensors::StoredTensors(const HfFolder& folder) : folder_(folder) {
  for (size_t i = 0; i < folder.tensors().size(); ++i) index_.emplace(folder.tensors()[i].name, i);
}

std::optional<size_t> StoredTensors::find(const std::string& name) const {
  const auto at = index_.find(name);
  return at == index_.end() ? std::nullopt : std::optional(at->second);
}

std::string_view StoredTensors::type(size_t i) const {
  return info(i).stored_type.empty() ? dtype_name(info(i).dtype) : std::string_view(info(i).stored_type);
}

void StoredTensors::fail(size_t i, const std::string& expected) const {
  throw_input("{}: tensor '{}': expected {}, found {} of {}", folder_.path(), printable(info(i).name), expected,
              shape_text(info(i).shape), type(i));
}

size_t StoredTensors::require(const std::string& name, std::initializer_list<std::string_view> types) const {
  const std::optional<size_t> i = find(name);
  if (!i)
    throw_input("{}: tensor '{}': expected in a quantized checkpoint, found none", folder_.path(), printable(name));
  if (std::find(types.begin(), types.end(), type(*i)) == types.end()) {
    fail(*i, fmt::format("{}", fmt::join(types, " or ")));
  }
  return *i;
}

std::vector<float> StoredTensors::floats(size_t i) const {
  std::vector<float> out(info(i).elements());
  folder_.read_f32(i, 0, out.size(), out.data());
  return out;
}

std::unique_ptr<TensorFile> dequantized(std::unique_ptr<HfFolder> folder) {
  const json config = find_config(*folder);
  if (config.is_null()) {
    const TensorInfo* sign = sign_of_quantization(*folder);
    if (sign == nullptr) return folder;
    if (!sign->name.ends_with("weight_scale_inv")) {
      throw_input("{}: tensor '{}': packed weights, expected quantization_config in config.json to say what they are",
                  folder->path(), printable(sign->name));
    }
  }
  const std::string method = config.is_null() ? "fp8" : method_of(config);
  for (const QuantizedFormat& format : kFormats) {
    if (format.method == method) return std::make_unique<DequantizedFolder>(std::move(folder), format, config);
  }
  std::string known;
  for (const QuantizedFormat& format : kFormats) known += (known.empty() ? "" : ", ") + std::string(format.method);
  throw_input("{}: quantization_config: quant_method '{}' is not supported, expected one of {}", folder->path(),
              printable(method, 40), known);
}

}  // namespace occ
