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
class Builder : public nlohmann::json_sax<json> {
 public:
  explicit Builder(std::string_view what) : what_(what) {}
  json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool v) override { return add(v); }
  bool number_integer(number_integer_t v) override { return add(v); }
  bool number_unsigned(number_unsigned_t v) override { return add(v); }
  bool number_float(number_float_t v, const string_t&) override { return add(v); }
  bool string(string_t& v) override { return add(std::move(v)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return open(json::object()); }
  bool start_array(size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    const auto [at, is_new] = stack_.back()->get_ref<json::object_t&>().emplace(std::move(name), nullptr);
    if (!is_new) throw_input("{}: expected distinct keys, found '{}' twice", what_, printable(at->first));
    slot_ = &at->second;
    return true;
  }
  bool parse_error(size_t at, const std::string& token, const nlohmann::detail::exception&) override {
    throw_input("{}: not valid JSON at byte {}, found '{}'", what_, at, printable(token, 40));
  }

 private:
  template <typename T>
  bool add(T&& value) {
    place(json(std::forward<T>(value)));
    return true;
  }
  json* place(json value) {
    if (++count_ > kMaxJsonValues) throw_input("{}: expected at most {} JSON values", what_, kMaxJsonValues);
    json* at = &root_;
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
  bool open(json container) {
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
  json root_;
  json* slot_ = nullptr;  // value of the key read last
  std::vector<json*> stack_;
  size_t count_ = 0;
};

// The length in bytes of the UTF-8 character at the start of `text`, or 0 if there is none (RFC 3629: no overlong
// forms, no surrogates).
size_t utf8_length(std::string_view text) {
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

json parse_json(std::string_view text, std::string_view what) {
  const size_t nul = text.find('\0');
  if (nul != std::string_view::npos) throw_input("{}: not valid JSON at byte {}, found a NUL", what, nul);
  Builder builder(what);
  json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

json parse_json_file(const std::filesystem::path& path, uint64_t limit) {
  const Bytes bytes = read_file(path, limit);
  return parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path.string());
}

std::string printable(std::string_view text, size_t limit) {
  std::string out;
  while (!text.empty() && out.size() < limit) {
    const size_t length = utf8_length(text);
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
