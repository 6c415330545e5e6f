#include "io/adapter.h"

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "io/elements.h"
#include "io/json_fields.h"
#include "io/safetensors.h"

namespace occ {
namespace {

namespace fs = std::filesystem;

// The product B A of one weight, as it is added.
struct Update {
  size_t rows = 0, cols = 0, rank = 0;
  std::vector<float> left;   // [rows, rank], times the scale
  std::vector<float> right;  // [rank, cols]
};

class AdaptedFile final : public TensorFile {
 public:
  AdaptedFile(std::unique_ptr<TensorFile> base, std::map<size_t, Update> updates, std::string note)
      : base_(std::move(base)), updates_(std::move(updates)), infos_(base_->tensors()), notes_(base_->notes()) {
    for (const auto& [i, update] : updates_) {
      infos_[i].dtype = DType::kF32;
      infos_[i].stored_type.clear();
    }
    notes_.push_back(std::move(note));
  }

  std::string path() const override { return base_->path(); }
  std::string format() const override { return base_->format(); }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override {
    base_->read_f32(i, first, count, out);
    const auto at = updates_.find(i);
    if (at == updates_.end()) return;
    const Update& u = at->second;
    for (uint64_t e = first; e < first + count;) {
      const uint64_t row = e / u.cols, col = e % u.cols, n = std::min(first + count - e, u.cols - col);
      for (size_t k = 0; k < u.rank; ++k) {
        const float factor = u.left[row * u.rank + k];
        const float* right = u.right.data() + k * u.cols + col;
        for (uint64_t c = 0; c < n; ++c) out[c] += factor * right[c];
      }
      e += n;
      out += n;
    }
  }
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override {
    if (!updates_.contains(i)) return base_->read_raw(i, first, count, out);
    read_f32(i, first, count, static_cast<float*>(out));
  }
  size_t read_granularity(size_t i) const override { return base_->read_granularity(i); }
  std::vector<SideFile> side_files() const override { return base_->side_files(); }
  std::vector<std::string> notes() const override { return notes_; }
  uint64_t file_bytes() const override { return base_->file_bytes(); }

 private:
  std::unique_ptr<TensorFile> base_;
  std::map<size_t, Update> updates_;  // by tensor
  std::vector<TensorInfo> infos_;
  std::vector<std::string> notes_;
};

std::vector<float> floats_of(const SafetensorsFile& file, size_t i) {
  const TensorInfo& info = file.tensors()[i];
  if (info.shape.size() != 2 || !is_float(info.dtype) || info.elements() == 0) {
    throw_input("{}, tensor '{}': expected a matrix of floats, found shape {}", file.path(), printable(info.name),
                shape_text(info.shape));
  }
  std::vector<float> out(info.elements());
  file.read_f32(i, 0, out.size(), out.data());
  return out;
}

void transpose_in_place(std::vector<float>* values, size_t rows, size_t cols) {
  std::vector<float> out(values->size());
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < cols; ++c) out[c * rows + r] = (*values)[r * cols + c];
  }
  *values = std::move(out);
}

class Adapter {
 public:
  explicit Adapter(const fs::path& folder)
      : where_((folder / "adapter_config.json").string()),
        values_(parse_json_file(folder / "adapter_config.json")),
        file_(folder / "adapter_model.safetensors") {
    const JsonField config{&values_, where_};
    const std::string type = config.at("peft_type").string_or("LORA");
    if (type != "LORA" || config.at("use_dora").boolean_or(false)) {
      throw_input("{}: expected an adapter of type LORA without DoRA, found {}", where_,
                  type == "LORA" ? "DoRA" : printable(type, 40));
    }
    by_columns_ = config.at("fan_in_fan_out").boolean_or(false);
    root_ = config.at("use_rslora").boolean_or(false);
  }

  std::map<size_t, Update> updates(const TensorFile& base) const {
    std::map<size_t, Update> out;
    for (size_t i = 0; i < file_.tensors().size(); ++i) {
      const std::string& name = file_.tensors()[i].name;
      const bool linear = name.ends_with(".lora_A.weight"), embedding = name.ends_with(".lora_embedding_A");
      if (name.ends_with(".lora_B.weight") || name.ends_with(".lora_embedding_B")) continue;
      if (!linear && !embedding) {
        throw_input("{}, tensor '{}': expected lora_A and lora_B alone (no biases, no whole modules)", file_.path(),
                    printable(name));
      }
      const size_t end = name.rfind(linear ? ".lora_A" : ".lora_embedding_A");
      std::string other = name;
      other[name.rfind('A')] = 'B';
      const size_t j = file_.find(other), target = find_target(base, name.substr(0, end));
      if (j == file_.tensors().size()) {
        throw_input("{}, tensor '{}': expected '{}' beside it", file_.path(), printable(name), printable(other));
      }
      out.emplace(target, make_update(base.tensors()[target], i, j, name.substr(0, end), embedding));
    }
    if (out.empty()) throw_input("{}: expected tensors lora_A and lora_B, found none", file_.path());
    return out;
  }

 private:
  // Names begin with "base_model.model.", which stands for the model.
  static size_t find_target(const TensorFile& base, std::string module) {
    constexpr std::string_view kPrefix = "base_model.model.";
    if (module.starts_with(kPrefix)) module.erase(0, kPrefix.size());
    size_t found = base.find(module + ".weight");
    if (found == base.tensors().size() && module.starts_with("model.")) found = base.find(module.substr(6) + ".weight");
    if (found == base.tensors().size()) {
      throw_input("{}: tensor '{}.weight': expected by the adapter, found none", base.path(), printable(module));
    }
    return found;
  }

  // lora_alpha or r of a module; the pattern's keys are ends of names.
  double number(const char* key, const char* pattern, const std::string& module, double otherwise) const {
    const auto at = values_.find(pattern);
    if (at != values_.end() && at->is_object()) {
      for (const auto& [name, value] : at->items()) {
        if (value.is_number() && (module == name || module.ends_with("." + name))) return value.get<double>();
      }
    }
    const auto plain = values_.find(key);
    return plain != values_.end() && plain->is_number() ? plain->get<double>() : otherwise;
  }

  Update make_update(const TensorInfo& target, size_t a, size_t b, const std::string& module, bool embedding) const {
    Update u;
    u.right = floats_of(file_, a);
    u.left = floats_of(file_, b);
    const auto &right = file_.tensors()[a].shape, &left = file_.tensors()[b].shape;
    u.rank = right[0];
    u.rows = left[0];
    u.cols = right[1];
    if (left[1] != u.rank)
      throw_input("{}, tensor '{}': expected {} columns", file_.path(), printable(file_.tensors()[b].name), u.rank);
    const auto rank = static_cast<double>(u.rank);
    const double scale = number("lora_alpha", "alpha_pattern", module, 8) / (root_ ? std::sqrt(rank) : rank);
    if (!std::isfinite(scale)) throw_input("{}: expected a finite lora_alpha", where_);
    for (float& v : u.left) v *= static_cast<float>(scale);
    if (by_columns_ || embedding) {  // of an embedding [tokens, dim]: A [r, tokens], B [dim, r]
      transpose_in_place(&u.left, u.rows, u.rank);
      transpose_in_place(&u.right, u.rank, u.cols);
      std::swap(u.left, u.right);
      std::swap(u.rows, u.cols);
    }
    if (target.shape != std::vector<uint64_t>{u.rows, u.cols} || !is_float(target.dtype)) {
      throw_input("{}, tensor '{}': expected a weight of shape [{}, {}], found {}", file_.path(), printable(module),
                  u.rows, u.cols, shape_text(target.shape));
    }
    return u;
  }

  std::string where_;
  nlohmann::json values_;
  SafetensorsFile file_;
  bool by_columns_ = false, root_ = false;
};

}  // namespace

std::unique_ptr<TensorFile> with_adapter(std::unique_ptr<TensorFile> base, const fs::path& folder) {
  const Adapter adapter(folder);
  std::map<size_t, Update> updates = adapter.updates(*base);
  std::string note = fmt::format("the adapter {} is merged into {} weights", folder.string(), updates.size());
  return std::make_unique<AdaptedFile>(std::move(base), std::move(updates), std::move(note));
}

}  // namespace occ
