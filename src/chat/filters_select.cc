#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "chat/filters.h"
#include "chat/python_text.h"
#include "tokenizer/regex.h"

namespace occ::jinja {
namespace {

using Arguments = std::vector<Value>;

// By what elements are compared: an attribute, strings without case unless `sensitive`.
Value sort_key(Context& c, const Value& item, const Value& attribute, bool sensitive) {
  const Value key = get_path(c, item, attribute, Value::missing());
  return key.is(Kind::kString) && !sensitive ? c.text(lower(key.utf8())) : key;
}

struct Keyed {
  Value key, item;
};

std::vector<Value> sorted(Context& c, std::vector<Keyed> all, bool reverse) {
  std::stable_sort(all.begin(), all.end(), [&](const Keyed& a, const Keyed& b) {
    return reverse ? less(c.meter, b.key, a.key) : less(c.meter, a.key, b.key);
  });
  std::vector<Value> out;
  for (Keyed& k : all) out.push_back(std::move(k.item));
  return out;
}

Value extreme(Context& c, const Value& v, Arguments& a, bool largest) {
  std::vector<Value> all = iterate(c.meter, v);
  if (all.empty()) return make_undefined("No aggregated item, sequence was empty.");
  size_t best = 0;
  std::vector<Value> keys;
  for (size_t i = 0; i < all.size(); ++i) {
    keys.push_back(sort_key(c, all[i], a[1], is_true(a[0])));
    if (largest ? less(c.meter, keys[best], keys[i]) : less(c.meter, keys[i], keys[best])) best = i;
  }
  return all[best];
}

// select, reject and their relatives: the elements for which a test (or, without one, truth) gives `wanted`.
Value selected(Context& c, const Value& v, const Call& call, bool by_attribute, bool wanted) {
  std::vector<Value> out;
  if (is_true(v)) {
    const size_t skip = by_attribute ? 1 : 0;
    if (call.args.size() < skip) fail("Missing parameter for attribute name");
    for (const Value& item : iterate(c.meter, v)) {
      const Value subject = by_attribute ? get_path(c, item, call.args[0], Value::missing()) : item;
      bool holds = is_true(subject);
      if (call.args.size() > skip) {
        Call inner;
        inner.args.assign(call.args.begin() + static_cast<std::ptrdiff_t>(skip) + 1, call.args.end());
        inner.named = call.named;
        holds = c.test(text_argument(call.args[skip], "name of a test"), subject, inner);
      }
      if (holds == wanted) out.push_back(item);
    }
  }
  return make_sequence(c.meter, Kind::kGenerator, std::move(out));
}

}  // namespace

Value dictsort(Context& c, const Value& v, Arguments& a, Call&) {
  if (v.is(Kind::kUndefined)) fail_undefined(v);
  if (!v.is(Kind::kDict)) fail("'", std::string(type_name(v)), "' object has no attribute 'items'");
  const std::string by = a[1].is(Kind::kMissing) ? "key" : text_argument(a[1], "dictsort");
  if (by != "key" && by != "value") fail("You can only sort by either \"key\" or \"value\"");
  std::vector<Keyed> all;
  for (const auto& [key, value] : v.dict().items) {
    const Value& subject = by == "key" ? key : value;
    all.push_back(
        {sort_key(c, subject, Value::missing(), is_true(a[0])), make_sequence(c.meter, Kind::kTuple, {key, value})});
  }
  return c.list(sorted(c, std::move(all), is_true(a[2])));
}

Value sort_filter(Context& c, const Value& v, Arguments& a, Call&) {
  std::vector<Keyed> all;
  const std::string comma = ",";
  for (Value& item : iterate(c.meter, v)) {
    Value key;
    if (a[2].is(Kind::kString) && a[2].utf8().find(',') != std::string::npos) {
      std::vector<Value> keys;
      for (std::string& part : split(a[2].utf8(), &comma, -1)) {
        keys.push_back(sort_key(c, item, c.text(std::move(part)), is_true(a[1])));
      }
      key = c.list(std::move(keys));
    } else {
      key = sort_key(c, item, a[2], is_true(a[1]));
    }
    all.push_back({std::move(key), std::move(item)});
  }
  return c.list(sorted(c, std::move(all), is_true(a[0])));
}

Value groupby(Context& c, const Value& v, Arguments& a, Call&) {
  std::vector<Keyed> all;
  for (Value& item : iterate(c.meter, v)) {
    Value key = get_path(c, item, a[0], a[1]);
    if (key.is(Kind::kString) && !is_true(a[2])) key = c.text(lower(key.utf8()));
    all.push_back({key, make_sequence(c.meter, Kind::kTuple, {key, item})});
  }
  std::vector<Value> out, group;
  Value key;
  const auto flush = [&] {
    if (group.empty()) return;
    const Value real = is_true(a[2]) ? key : get_path(c, group[0], a[0], a[1]);
    out.push_back(make_sequence(c.meter, Kind::kTuple, {real, c.list(std::exchange(group, {}))}));
  };
  for (const Value& pair : sorted(c, std::move(all), false)) {
    const auto& [next, item] = std::tie(pair.sequence().items[0], pair.sequence().items[1]);
    if (group.empty() || !equal(c.meter, key, next)) flush();
    key = next;
    group.push_back(item);
  }
  flush();
  return c.list(std::move(out));
}

Value unique(Context& c, const Value& v, Arguments& a, Call&) {
  std::unordered_map<std::string, bool> seen;
  std::vector<Value> out;
  for (Value& item : iterate(c.meter, v)) {
    if (seen.emplace(hash_key(c.meter, sort_key(c, item, a[1], is_true(a[0]))), true).second)
      out.push_back(std::move(item));
  }
  return make_sequence(c.meter, Kind::kGenerator, std::move(out));
}

Value max_filter(Context& c, const Value& v, Arguments& a, Call&) { return extreme(c, v, a, true); }
Value min_filter(Context& c, const Value& v, Arguments& a, Call&) { return extreme(c, v, a, false); }
Value select(Context& c, const Value& v, Arguments&, Call& call) { return selected(c, v, call, false, true); }
Value reject(Context& c, const Value& v, Arguments&, Call& call) { return selected(c, v, call, false, false); }
Value selectattr(Context& c, const Value& v, Arguments&, Call& call) { return selected(c, v, call, true, true); }
Value rejectattr(Context& c, const Value& v, Arguments&, Call& call) { return selected(c, v, call, true, false); }

Value map_filter(Context& c, const Value& v, Arguments&, Call& call) {
  std::vector<Value> out;
  if (is_true(v)) {
    Value attribute = Value::missing(), otherwise = Value::missing();
    if (call.args.empty()) {
      for (const auto& [name, value] : call.named) {
        if (name == "attribute") {
          attribute = value;
        } else if (name == "default") {
          otherwise = value;
        } else {
          fail("map: unknown argument '", name, "'");
        }
      }
      if (attribute.is(Kind::kMissing)) fail("map requires a filter argument");
    }
    for (const Value& item : iterate(c.meter, v)) {
      if (call.args.empty()) {
        out.push_back(get_path(c, item, attribute, otherwise));
        continue;
      }
      Call inner;
      inner.args.assign(call.args.begin() + 1, call.args.end());
      inner.named = call.named;
      out.push_back(c.filter(text_argument(call.args[0], "name of a filter"), item, inner));
    }
  }
  return make_sequence(c.meter, Kind::kGenerator, std::move(out));
}

namespace {

// float() of a text; nothing if it is no number.
bool parse_float(std::string_view text, double& out) {
  text = strip(text, nullptr, true, true);
  const bool minus = text.starts_with('-');
  if (minus || text.starts_with('+')) text.remove_prefix(1);
  if (text.starts_with('-') || text.starts_with('+')) return false;
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](size_t k) { return k < text.size() && text[k] >= '0' && text[k] <= '9'; };
    if (text[i] == '_' && i > 0 && digit(i - 1) && digit(i + 1)) continue;
    plain += text[i];
  }
  const auto result = std::from_chars(plain.data(), plain.data() + plain.size(), out);
  if (result.ec != std::errc() || result.ptr != plain.data() + plain.size()) return false;
  if (minus) out = -out;
  return true;
}

bool parse_int(std::string_view text, int64_t base, int64_t& out) {
  text = strip(text, nullptr, true, true);
  std::string plain(text.starts_with('-') ? "-" : "");
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  if (text.size() > 2 && text[0] == '0') {
    const char letter = static_cast<char>(text[1] | 0x20);
    if ((base == 16 && letter == 'x') || (base == 8 && letter == 'o') || (base == 2 && letter == 'b')) {
      text.remove_prefix(2);
    }
  }
  if (text.empty() || text.front() == '_' || text.back() == '_' || text.front() == '-') return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_' && text[i - 1] == '_') return false;
    if (text[i] != '_') plain += text[i];
  }
  const auto result = std::from_chars(plain.data(), plain.data() + plain.size(), out, static_cast<int>(base));
  if (result.ec == std::errc::result_out_of_range) fail("int: expected a number that fits into 64 bits");
  return result.ec == std::errc() && result.ptr == plain.data() + plain.size();
}

}  // namespace

Value int_filter(Context&, const Value& v, Arguments& a, Call&) {
  if (v.is(Kind::kUndefined)) fail_undefined(v);
  const int64_t base = a[1].is(Kind::kMissing) ? 10 : int_argument(a[1], "int");
  const Value otherwise = a[0].is(Kind::kMissing) ? Value(int64_t{0}) : a[0];
  if (base < 2 || base > 36) fail("int: expected a base of 2 to 36");
  double real = 0;
  int64_t whole = 0;
  if (v.is(Kind::kString)) {
    if (parse_int(v.utf8(), base, whole)) return Value(whole);
    if (!parse_float(v.utf8(), real)) return otherwise;
  } else if (v.is(Kind::kFloat)) {
    real = v.real;
  } else {
    return v.is_number() ? Value(v.as_int()) : otherwise;
  }
  if (!std::isfinite(real)) return otherwise;
  if (std::fabs(real) >= 9.2e18) fail("int: expected a number that fits into 64 bits");
  return Value(static_cast<int64_t>(real));
}

Value float_filter(Context&, const Value& v, Arguments& a, Call&) {
  if (v.is(Kind::kUndefined)) fail_undefined(v);
  if (v.is_number()) return Value(v.as_float());
  double real = 0;
  if (v.is(Kind::kString) && parse_float(v.utf8(), real)) return Value(real);
  return a[0].is(Kind::kMissing) ? Value(0.0) : a[0];
}

Value wordcount(Context& c, const Value& v, Arguments&, Call&) {
  static const Regex kWord(R"([\p{L}\p{N}_]+)", "chat template");
  const std::string text = to_str(c.meter, v);
  c.meter.scan(16 * text.size());
  return Value(static_cast<int64_t>(kWord.matches(text).size()));
}

Value round_half_even(Context&, const Value& v, int64_t digits) {
  if (v.is(Kind::kFloat)) {
    if (!std::isfinite(v.real)) return v;
    if (digits < 0) {
      const double scale = std::pow(10.0, static_cast<double>(-digits));
      return Value(std::nearbyint(v.real / scale) * scale);
    }
    // Correctly rounded decimal digits, as Python's round() has them.
    return Value(std::stod(fmt::format("{:.{}f}", v.real, std::min<int64_t>(digits, 300))));
  }
  return Value(static_cast<int64_t>(std::nearbyint(v.as_float() * std::pow(10.0, static_cast<double>(digits))) *
                                    std::pow(10.0, static_cast<double>(-digits))));
}

void charge_replace(Context& c, const std::string& text, const std::string& from, const std::string& to) {
  c.meter.scan(text.size());
  size_t count = 0;
  if (from.empty()) {
    count = text.size() + 1;
  } else {
    for (size_t at = find_bytes(text, from); at != std::string::npos; at = find_bytes(text, from, at + from.size()))
      ++count;
  }
  c.meter.step(count / 4 + 1);
  c.meter.text(count * to.size());
}

}  // namespace occ::jinja
