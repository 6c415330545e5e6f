// Methods of Python's str, dict, list and tuple that templates may call. The sandbox of jinja2 has none that changes its
// object.
#include <algorithm>
#include <span>

#include "chat/builtins.h"
#include "chat/filters.h"
#include "chat/python_text.h"

namespace occ::jinja {
namespace {

using Arguments = std::vector<Value>;

// A text of the same sort as `v`: markup stays markup.
Value alike(Context& c, const Value& v, std::string text) { return c.text(std::move(text), v.text().markup); }
// An argument that is put into `v`: markup escapes it.
std::string inserted(const Value& v, const Value& argument, const char* what) {
  const std::string& text = text_argument(argument, what);
  return v.text().markup && !argument.text().markup ? escape_html(text) : text;
}

template <std::string (*f)(std::string_view)>
Value mapped(Context& c, const Value& v, Arguments&, Call&) {
  c.meter.scan(8 * v.utf8().size());
  return alike(c, v, f(v.utf8()));
}

template <bool left, bool right>
Value stripped(Context& c, const Value& v, Arguments& a, Call&) {
  const std::string* chars = given(a[0]) ? &text_argument(a[0], "strip") : nullptr;
  c.meter.scan(v.utf8().size() * (chars == nullptr ? 1 : chars->size() + 1));
  return alike(c, v, std::string(strip(v.utf8(), chars, left, right)));
}

Value texts(Context& c, const Value& v, std::vector<std::string> parts) {
  c.meter.step(parts.size() + 1);
  std::vector<Value> out;
  for (std::string& part : parts) out.push_back(alike(c, v, std::move(part)));
  return c.list(std::move(out));
}

template <bool right>
Value split_method(Context& c, const Value& v, Arguments& a, Call&) {
  const std::string* separator = given(a[0]) ? &text_argument(a[0], "split") : nullptr;
  if (separator != nullptr && separator->empty()) fail("empty separator");
  const int64_t most = a[1].is(Kind::kMissing) ? -1 : int_argument(a[1], "split");
  c.meter.step(v.utf8().size() + 1);
  return texts(c, v, right ? split_right(v.utf8(), separator, most) : split(v.utf8(), separator, most));
}
Value split_lines_method(Context& c, const Value& v, Arguments& a, Call&) {
  c.meter.step(v.utf8().size() + 1);
  return texts(c, v, split_lines(v.utf8(), is_true(a[0])));
}

// The part of `v` that start and stop select.
Value part_of(Context& c, const Value& v, const Value& start, const Value& stop) {
  if (!given(start) && !given(stop)) return v;
  return slice(c, v, given(start) ? start : Value::none(), given(stop) ? stop : Value::none(), Value::none());
}

template <bool at_end>
Value has_end(Context& c, const Value& v, Arguments& a, Call&) {
  const Value part = part_of(c, v, a[1], a[2]);
  const auto matches = [&](const Value& affix) {
    const std::string& text = text_argument(affix, at_end ? "endswith" : "startswith");
    c.meter.scan(text.size());
    return at_end ? part.utf8().ends_with(text) : part.utf8().starts_with(text);
  };
  if (!a[0].is(Kind::kTuple)) return Value(matches(a[0]));
  const auto& all = a[0].sequence().items;
  return Value(std::any_of(all.begin(), all.end(), matches));
}

template <bool right, bool must>
Value find_method_of(Context& c, const Value& v, Arguments& a, Call&) {
  const std::string& sub = text_argument(a[0], "find");
  const Value part = part_of(c, v, a[1], a[2]);
  const std::string& text = part.utf8();
  c.meter.scan(text.size() + sub.size());
  size_t at = find_bytes(text, sub);
  if (right && at != std::string::npos) {
    for (size_t next = at; next != std::string::npos;
         next = next < text.size() ? find_bytes(text, sub, next + 1) : next + 1) {
      if (next > text.size()) break;
      at = next;
      c.meter.step();
    }
  }
  if (at == std::string::npos) {
    if (must) fail("substring not found");
    return Value(int64_t{-1});
  }
  int64_t skipped = given(a[1]) ? int_argument(a[1], "find") : 0;
  const auto size = static_cast<int64_t>(v.text().length);
  if (skipped < 0) skipped = std::max<int64_t>(0, skipped + size);
  return Value(static_cast<int64_t>(code_points(std::string_view(text).substr(0, at))) + skipped);
}

Value count(Context& c, const Value& v, Arguments& a, Call&) {
  const std::string& sub = text_argument(a[0], "count");
  c.meter.scan(v.utf8().size());
  if (sub.empty()) return Value(static_cast<int64_t>(v.text().length + 1));
  int64_t n = 0;
  for (size_t at = find_bytes(v.utf8(), sub); at != std::string::npos;
       at = find_bytes(v.utf8(), sub, at + sub.size())) {
    ++n;
    c.meter.step();
  }
  return Value(n);
}

Value replace_method(Context& c, const Value& v, Arguments& a, Call&) {
  const std::string from = inserted(v, a[0], "replace"), to = inserted(v, a[1], "replace");
  charge_replace(c, v.utf8(), from, to);
  return alike(c, v, replace(v.utf8(), from, to, a[2].is(Kind::kMissing) ? -1 : int_argument(a[2], "replace")));
}

Value join_method(Context& c, const Value& v, Arguments& a, Call&) {
  std::string out;
  bool more = false;
  for (const Value& item : iterate(c.meter, a[0])) {
    const std::string text = inserted(v, item, "join");
    c.meter.text(text.size() + v.utf8().size());
    if (more) out += v.utf8();
    out += text;
    more = true;
  }
  return alike(c, v, std::move(out));
}

template <bool suffix>
Value remove_affix(Context& c, const Value& v, Arguments& a, Call&) {
  const std::string& affix = text_argument(a[0], "removeprefix");
  std::string text = v.utf8();
  if (suffix ? text.ends_with(affix) : text.starts_with(affix)) {
    text.erase(suffix ? text.size() - affix.size() : 0, affix.size());
  }
  return alike(c, v, std::move(text));
}

template <bool right>
Value partition(Context& c, const Value& v, Arguments& a, Call&) {
  const std::string& sub = text_argument(a[0], "partition");
  if (sub.empty()) fail("empty separator");
  std::vector<std::string> parts = right ? split_right(v.utf8(), &sub, 1) : split(v.utf8(), &sub, 1);
  c.meter.scan(v.utf8().size());
  if (parts.size() == 2) {
    parts.insert(parts.begin() + 1, sub);
  } else {
    parts = right ? std::vector<std::string>{"", "", v.utf8()} : std::vector<std::string>{v.utf8(), "", ""};
  }
  const Value list = texts(c, v, std::move(parts));
  return make_sequence(c.meter, Kind::kTuple, list.sequence().items);
}

enum Side { kLeft, kRight, kBoth };
template <Side side>
Value justified(Context& c, const Value& v, Arguments& a, Call&) {
  const int64_t width = int_argument(a[0], "center");
  const std::string fill = a[1].is(Kind::kMissing) ? " " : text_argument(a[1], "center");
  if (code_points(fill) != 1) fail("The fill character must be exactly one character long");
  const auto size = static_cast<int64_t>(v.text().length);
  if (width <= size) return v;
  const int64_t pad = width - size;
  c.meter.text(static_cast<size_t>(pad) * fill.size());
  // As CPython divides an odd number of places.
  const int64_t before = side == kLeft ? 0 : side == kRight ? pad : pad / 2 + (pad & width & 1);
  std::string out;
  for (int64_t i = 0; i < before; ++i) out += fill;
  out += v.utf8();
  for (int64_t i = before; i < pad; ++i) out += fill;
  return alike(c, v, std::move(out));
}
Value zfill(Context& c, const Value& v, Arguments& a, Call&) {
  const int64_t pad = int_argument(a[0], "zfill") - static_cast<int64_t>(v.text().length);
  if (pad <= 0) return v;
  c.meter.text(static_cast<size_t>(pad));
  std::string out = v.utf8();
  out.insert(out.starts_with('-') || out.starts_with('+') ? 1 : 0, static_cast<size_t>(pad), '0');
  return alike(c, v, std::move(out));
}

std::string swapped(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = next_code_point(text, at);
    const std::string_view c = text.substr(at, end - at);
    out += is_all(c, "isupper") ? lower(c) : upper(c);
    at = end;
  }
  return out;
}

Value format_method(Context& c, const Value& v, Arguments&, Call& call) {
  return alike(c, v, brace_format(c, v.utf8(), call));
}

constexpr const char* kProperties[] = {"isalnum", "isalpha",   "isdecimal", "isdigit",
                                       "islower", "isnumeric", "isspace",   "isupper"};
template <size_t property>
Value has_property(Context& c, const Value& v, Arguments&, Call&) {
  c.meter.scan(8 * v.utf8().size());
  return Value(is_all(v.utf8(), kProperties[property]));
}

constexpr Builtin kTextMethods[] = {
    {"capitalize", "", mapped<capitalize>},
    {"casefold", "", mapped<lower>},
    {"center", "width!,fillchar", justified<kBoth>},
    {"count", "sub!", count},
    {"endswith", "suffix!,start,end", has_end<true>},
    {"find", "sub!,start,end", find_method_of<false, false>},
    {"format", "*", format_method},
    {"index", "sub!,start,end", find_method_of<false, true>},
    {"isalnum", "", has_property<0>},
    {"isalpha", "", has_property<1>},
    {"isdecimal", "", has_property<2>},
    {"isdigit", "", has_property<3>},
    {"islower", "", has_property<4>},
    {"isnumeric", "", has_property<5>},
    {"isspace", "", has_property<6>},
    {"isupper", "", has_property<7>},
    {"join", "iterable!", join_method},
    {"ljust", "width!,fillchar", justified<kLeft>},
    {"lower", "", mapped<lower>},
    {"lstrip", "chars", stripped<true, false>},
    {"partition", "sep!", partition<false>},
    {"removeprefix", "prefix!", remove_affix<false>},
    {"removesuffix", "suffix!", remove_affix<true>},
    {"replace", "old!,new!,count", replace_method},
    {"rfind", "sub!,start,end", find_method_of<true, false>},
    {"rindex", "sub!,start,end", find_method_of<true, true>},
    {"rjust", "width!,fillchar", justified<kRight>},
    {"rpartition", "sep!", partition<true>},
    {"rsplit", "sep,maxsplit", split_method<true>},
    {"rstrip", "chars", stripped<false, true>},
    {"split", "sep,maxsplit", split_method<false>},
    {"splitlines", "keepends", split_lines_method},
    {"startswith", "prefix!,start,end", has_end<false>},
    {"strip", "chars", stripped<true, true>},
    {"swapcase", "", mapped<swapped>},
    {"title", "", mapped<title>},
    {"upper", "", mapped<upper>},
    {"zfill", "width!", zfill},
};

enum Part { kKeys, kValues, kItems };
template <Part part>
Value view(Context& c, const Value& v, Arguments&, Call&) {
  std::vector<Value> out;
  c.meter.step(v.dict().items.size());
  for (const auto& [key, value] : v.dict().items) {
    out.push_back(part == kKeys ? key : part == kValues ? value : make_sequence(c.meter, Kind::kTuple, {key, value}));
  }
  return make_sequence(c.meter, Kind::kView, std::move(out),
                       part == kKeys     ? "dict_keys"
                       : part == kValues ? "dict_values"
                                         : "dict_items");
}
Value get(Context& c, const Value& v, Arguments& a, Call&) {
  const auto at = v.dict().index.find(hash_key(c.meter, a[0]));
  if (at != v.dict().index.end()) return v.dict().items[at->second].second;
  return a[1].is(Kind::kMissing) ? Value::none() : a[1];
}
Value copy(Context&, const Value& v, Arguments&, Call&) { return v; }

constexpr Builtin kDictMethods[] = {
    {"copy", "", copy},        {"get", "key!,default", get},  {"items", "", view<kItems>},
    {"keys", "", view<kKeys>}, {"values", "", view<kValues>},
};

Value list_count(Context& c, const Value& v, Arguments& a, Call&) {
  int64_t n = 0;
  for (const Value& item : v.sequence().items) n += equal(c.meter, item, a[0]);
  return Value(n);
}
Value list_index(Context& c, const Value& v, Arguments& a, Call&) {
  const auto& all = v.sequence().items;
  for (size_t i = 0; i < all.size(); ++i) {
    if (equal(c.meter, all[i], a[0])) return Value(static_cast<int64_t>(i));
  }
  fail("value is not in the list");
}

constexpr Builtin kListMethods[] = {
    {"copy", "", copy},
    {"count", "value!", list_count},
    {"index", "value!", list_index},
};

}  // namespace

const Builtin* find_method(const Value& object, std::string_view name) {
  std::span<const Builtin> table;
  if (object.is(Kind::kString)) table = kTextMethods;
  if (object.is(Kind::kDict)) table = kDictMethods;
  if (object.is(Kind::kList)) table = kListMethods;
  if (object.is(Kind::kTuple)) table = std::span<const Builtin>(kListMethods).subspan(1);
  const auto at = std::find_if(table.begin(), table.end(), [&](const Builtin& b) { return b.name == name; });
  return at == table.end() ? nullptr : &*at;
}

}  // namespace occ::jinja
