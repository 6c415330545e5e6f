#include "io/json.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace occ {
namespace {

using nlohmann::json;

// Builds the document from the events of the parser. The stack holds the containers that are still open. A pointer to
// an element of an array stays valid because the array grows only after its last element is complete.
template <typename Json>
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(std::string_view what, std::vector<std::string>* repeated) : what_(what), repeated_(repeated) {}
  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool v) override { return add(v); }
  bool number_integer(typename Json::number_integer_t v) override { return add(v); }
  bool number_unsigned(typename Json::number_unsigned_t v) override { return add(v); }
  bool number_float(typename Json::number_float_t v, const std::string&) override { return add(v); }
  bool string(std::string& v) override { return add(std::move(v)); }
  bool binary(typename Json::binary_t&) override { return false; }
  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& name) override {
    const auto [at, is_new] =
        stack_.back()->template get_ref<typename Json::object_t&>().emplace(std::move(name), nullptr);
    if (!is_new && repeated_ != nullptr) repeated_->push_back(at->first);
    if (!is_new && repeated_ == nullptr)
      throw_input("{}: expected distinct keys, found '{}' twice", what_, printable(at->first));
    if (kOrdered && stack_.back()->size() > kMaxOrderedKeys) {
      throw_input("{}: expected at most {} keys in an object", what_, kMaxOrderedKeys);
    }
    slot_ = &at->second;
    return true;
  }
  bool parse_error(size_t at, const std::string& token, const nlohmann::detail::exception&) override {
    throw_input("{}: not valid JSON at byte {}, found '{}'", what_, at, printable(token, 40));
  }

 private:
  static constexpr bool kOrdered = std::is_same_v<Json, nlohmann::ordered_json>;
  static constexpr size_t kMaxOrderedKeys = 10'000;

  template <typename T>
  bool add(T&& value) {
    place(Json(std::forward<T>(value)));
    return true;
  }
  Json* place(Json value) {
    if (++count_ > kMaxJsonValues) throw_input("{}: expected at most {} JSON values", what_, kMaxJsonValues);
    Json* at = &root_;
    if (!stack_.empty()) {
      at = stack_.back();
      if (at->is_array()) {
        at->push_back(std::move(value));
        return &at->back();
      }
      at = slot_;
    }
    *at = std::move(value);
    return at;
  }
  bool open(Json container) {
    if (stack_.size() >= kMaxJsonDepth) {
      throw_input("{}: expected at most {} levels of JSON, found more", what_, kMaxJsonDepth);
    }
    stack_.push_back(place(std::move(container)));
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  std::string_view what_;
  std::vector<std::string>* repeated_;
  Json root_;
  Json* slot_ = nullptr;  // value of the key read last
  std::vector<Json*> stack_;
  size_t count_ = 0;
};

// The length in bytes of the UTF-8 character at the start of `text`, or 0 if there is none (RFC 3629: no overlong
// forms, no surrogates).
size_t valid_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0; };
  const auto tail = [&](size_t i, uint8_t low = 0x80, uint8_t high = 0xbf) {
    return byte(i) >= low && byte(i) <= high;
  };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  if (first < 0xe0) return tail(1) ? 2 : 0;
  if (first < 0xf0) return tail(1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf) && tail(2) ? 3 : 0;
  return tail(1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf) && tail(2) && tail(3) ? 4 : 0;
}

}  // namespace

template <typename Json>
static Json parse(std::string_view text, std::string_view what, std::vector<std::string>* repeated) {
  const size_t nul = text.find('\0');
  if (nul != std::string_view::npos) throw_input("{}: not valid JSON at byte {}, found a NUL", what, nul);
  Builder<Json> builder(what, repeated);
  Json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

json parse_json(std::string_view text, std::string_view what, std::vector<std::string>* repeated) {
  return parse<json>(text, what, repeated);
}

nlohmann::ordered_json parse_ordered_json(std::string_view text, std::string_view what) {
  return parse<nlohmann::ordered_json>(text, what, nullptr);
}

json parse_json_file(const std::filesystem::path& path, uint64_t limit, std::vector<std::string>* repeated) {
  const Bytes bytes = read_file(path, limit);
  return parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path.string(), repeated);
}

std::string printable(std::string_view text, size_t limit) {
  std::string out;
  while (!text.empty() && out.size() < limit) {
    const size_t length = valid_length(text);
    const auto first = static_cast<uint8_t>(text[0]);
    if (length == 0 || first < 0x20 || first == 0x7f) {
      out += '?';
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  if (!text.empty()) out += "...";
  return out;
}

}  // namespace occ
