// The filters of jinja2 (jinja2/filters.py), without those that make HTML of a text, wrap it or choose at random:
// filesizeformat, pprint, random, striptags, urlize, wordwrap, xmlattr.
#include "chat/filters.h"

#include <algorithm>
#include <cmath>

#include "chat/builtins.h"
#include "chat/python_text.h"

namespace occ::jinja {
namespace {

using Arguments = std::vector<Value>;

std::string str(Context& c, const Value& v) { return to_str(c.meter, v); }
bool markup(const Value& v) { return v.is(Kind::kString) && v.text().markup; }
bool flag(const Value& v) { return is_true(v); }

// A filter that makes one text of another and keeps whether it is markup.
template <typename F>
Value map_text(Context& c, const Value& v, F f) {
  const std::string text = str(c, v);
  c.meter.scan(8 * text.size());
  return c.text(f(text), markup(v));
}

Value abs_filter(Context& c, const Value& v, Arguments&, Call&) {
  if (v.is(Kind::kFloat)) return Value(std::fabs(v.real));
  return int_argument(v, "abs") < 0 ? binary(c, "-", Value(int64_t{0}), v) : Value(v.as_int());
}
Value attr(Context& c, const Value& v, Arguments& a, Call&) {
  const Value found = get_attribute(c, v, text_argument(a[0], "attr"));
  return v.is(Kind::kDict) && !found.is(Kind::kFunction) ? make_undefined("no such attribute") : found;
}
Value batch(Context& c, const Value& v, Arguments& a, Call&) {
  const int64_t size = int_argument(a[0], "batch");
  std::vector<Value> out, row;
  for (Value& item : iterate(c.meter, v)) {
    if (static_cast<int64_t>(row.size()) == size) out.push_back(c.list(std::exchange(row, {})));
    row.push_back(std::move(item));
  }
  if (!row.empty()) {
    const auto missing = size - static_cast<int64_t>(row.size());
    if (given(a[1]) && missing > 0) {
      c.meter.step(static_cast<size_t>(missing));
      row.insert(row.end(), static_cast<size_t>(missing), a[1]);
    }
    out.push_back(c.list(std::move(row)));
  }
  return make_sequence(c.meter, Kind::kGenerator, std::move(out));
}
Value capitalize_filter(Context& c, const Value& v, Arguments&, Call&) { return map_text(c, v, capitalize); }
Value lower_filter(Context& c, const Value& v, Arguments&, Call&) { return map_text(c, v, lower); }
Value upper_filter(Context& c, const Value& v, Arguments&, Call&) { return map_text(c, v, upper); }
Value title_of(Context& c, const Value& v, Arguments&, Call&) { return map_text(c, v, title_filter); }
Value trim(Context& c, const Value& v, Arguments& a, Call&) {
  const std::string* chars = given(a[0]) ? &text_argument(a[0], "trim") : nullptr;
  if (chars != nullptr) c.meter.scan(str(c, v).size() * (chars->size() + 1));
  return map_text(c, v, [&](const std::string& text) { return std::string(strip(text, chars, true, true)); });
}
Value center(Context& c, const Value& v, Arguments& a, Call& call) {
  call.args = {a[0].is(Kind::kMissing) ? Value(int64_t{80}) : a[0]};
  call.named.clear();
  return run_builtin(*find_method(c.text(""), "center"), c, c.text(str(c, v)), call);
}
Value length_filter(Context&, const Value& v, Arguments&, Call&) { return Value(static_cast<int64_t>(length(v))); }
Value default_filter(Context& c, const Value& v, Arguments& a, Call&) {
  if (!v.is(Kind::kUndefined) && !(flag(a[1]) && !is_true(v))) return v;
  return a[0].is(Kind::kMissing) ? c.text("") : a[0];
}
Value escape(Context& c, const Value& v, Arguments&, Call&) {
  const std::string text = str(c, v);
  return c.text(markup(v) ? text : escape_html(text), true);
}
Value force_escape(Context& c, const Value& v, Arguments&, Call&) { return c.text(escape_html(str(c, v)), true); }
Value safe(Context& c, const Value& v, Arguments&, Call&) { return c.text(str(c, v), true); }
Value string_filter(Context& c, const Value& v, Arguments&, Call&) {
  return v.is(Kind::kString) ? v : c.text(str(c, v));
}
Value first(Context& c, const Value& v, Arguments&, Call&) {
  if (v.is(Kind::kGenerator)) {
    Sequence& s = v.sequence();
    return s.next < s.items.size() ? s.items[s.next++] : make_undefined("No first item, sequence was empty.");
  }
  const std::vector<Value> items = iterate(c.meter, v);
  return items.empty() ? make_undefined("No first item, sequence was empty.") : items.front();
}
Value last(Context& c, const Value& v, Arguments&, Call&) {
  if (v.is(Kind::kGenerator)) fail("'generator' object is not reversible");
  const std::vector<Value> items = iterate(c.meter, v);
  return items.empty() ? make_undefined("No last item, sequence was empty.") : items.back();
}
Value format_filter(Context& c, const Value& v, Arguments&, Call& call) {
  if (!call.args.empty() && !call.named.empty()) fail("format: expected either positional or named arguments");
  std::vector<std::pair<Value, Value>> named;
  for (auto& [name, value] : call.named) named.emplace_back(c.text(name), value);
  const Value values =
      call.named.empty() ? make_sequence(c.meter, Kind::kTuple, call.args) : make_dict(c.meter, std::move(named));
  return c.text(percent_format(c, str(c, v), values));
}
Value indent(Context& c, const Value& v, Arguments& a, Call&) {
  std::string by(4, ' ');
  if (a[0].is(Kind::kString)) {
    by = a[0].utf8();
  } else if (!a[0].is(Kind::kMissing)) {
    const int64_t width = int_argument(a[0], "indent");
    if (width > 10'000) fail("indent: expected a smaller width");
    by.assign(static_cast<size_t>(std::max<int64_t>(0, width)), ' ');
  }
  const std::vector<std::string> lines = split_lines(text_argument(v, "indent") + "\n", false);
  c.meter.text(v.utf8().size() + lines.size() * (by.size() + 32));
  std::string out = flag(a[1]) ? by : "";
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out += '\n';
    if (i > 0 && (flag(a[2]) || !lines[i].empty())) out += by;
    out += lines[i];
  }
  return c.text(std::move(out), markup(v));
}
Value items(Context& c, const Value& v, Arguments&, Call& call) {
  if (v.is(Kind::kUndefined)) return make_sequence(c.meter, Kind::kGenerator, {});
  if (!v.is(Kind::kDict)) fail("Can only get item pairs from a mapping.");
  const Value pairs = run_builtin(*find_method(v, "items"), c, v, call);
  return make_sequence(c.meter, Kind::kGenerator, iterate(c.meter, pairs));
}
Value join(Context& c, const Value& v, Arguments& a, Call&) {
  const std::string between = a[0].is(Kind::kMissing) ? "" : str(c, a[0]);
  std::string out;
  bool more = false;
  for (const Value& item : iterate(c.meter, v)) {
    const std::string text = str(c, get_path(c, item, a[1], Value::missing()));
    c.meter.text(text.size() + between.size());
    if (more) out += between;
    out += text;
    more = true;
  }
  return c.text(std::move(out));
}
Value list_filter(Context& c, const Value& v, Arguments&, Call&) { return c.list(iterate(c.meter, v)); }
Value replace_filter(Context& c, const Value& v, Arguments& a, Call&) {
  const std::string text = str(c, v), from = str(c, a[0]), to = str(c, a[1]);
  const int64_t most = given(a[2]) ? int_argument(a[2], "replace") : -1;
  charge_replace(c, text, from, to);
  return c.text(replace(text, from, to, most));
}
Value reverse(Context& c, const Value& v, Arguments&, Call&) {
  if (v.is(Kind::kString)) return slice(c, v, Value::none(), Value::none(), Value(int64_t{-1}));
  std::vector<Value> all = iterate(c.meter, v);
  std::reverse(all.begin(), all.end());
  return make_sequence(c.meter, v.is(Kind::kGenerator) ? Kind::kList : Kind::kGenerator, std::move(all));
}
Value round_filter(Context& c, const Value& v, Arguments& a, Call&) {
  const int64_t digits = a[0].is(Kind::kMissing) ? 0 : int_argument(a[0], "round");
  const std::string method = a[1].is(Kind::kMissing) ? "common" : text_argument(a[1], "round");
  if (!v.is_number()) fail("round: expected a number, found ", std::string(type_name(v)));
  if (digits < -300 || digits > 300) fail("round: expected fewer digits");
  if (method == "common" && !v.is(Kind::kFloat) && digits >= 0) return Value(v.as_int());
  if (method == "common") return round_half_even(c, v, digits);
  if (method != "ceil" && method != "floor") fail("method must be common, ceil or floor");
  const double scale = std::pow(10.0, static_cast<double>(digits)), x = v.as_float() * scale;
  return Value((method == "ceil" ? std::ceil(x) : std::floor(x)) / scale);
}
Value slice_filter(Context& c, const Value& v, Arguments& a, Call&) {
  const std::vector<Value> all = iterate(c.meter, v);
  const int64_t slices = int_argument(a[0], "slice");
  if (slices == 0) fail("integer division or modulo by zero");
  c.meter.step(static_cast<size_t>(std::max<int64_t>(0, slices)));
  std::vector<Value> out;
  const size_t n = slices < 0 ? 0 : static_cast<size_t>(slices);
  size_t begin = 0;
  for (size_t i = 0; i < n; ++i) {
    const size_t end = begin + all.size() / n + (i < all.size() % n);
    std::vector<Value> row(all.begin() + static_cast<std::ptrdiff_t>(begin),
                           all.begin() + static_cast<std::ptrdiff_t>(end));
    if (given(a[1]) && i >= all.size() % n) row.push_back(a[1]);
    out.push_back(c.list(std::move(row)));
    begin = end;
  }
  return make_sequence(c.meter, Kind::kGenerator, std::move(out));
}
Value sum(Context& c, const Value& v, Arguments& a, Call&) {
  Value total = a[1].is(Kind::kMissing) ? Value(int64_t{0}) : a[1];
  if (total.is(Kind::kString)) fail("sum() can't sum strings");
  for (const Value& item : iterate(c.meter, v)) {
    total = binary(c, "+", total, get_path(c, item, a[0], Value::missing()));
  }
  return total;
}
Value tojson(Context& c, const Value& v, Arguments& a, Call&) {
  JsonOptions options;
  options.ensure_ascii = flag(a[0]);
  options.sort_keys = flag(a[3]);
  if (given(a[1])) {
    options.lines = true;
    options.item_separator.pop_back();  // no space at the end of a line
    if (a[1].is(Kind::kString)) {
      options.indent = a[1].utf8();
    } else {
      options.indent.assign(static_cast<size_t>(std::clamp<int64_t>(int_argument(a[1], "tojson"), 0, 100)), ' ');
    }
  }
  if (given(a[2])) {
    const std::vector<Value> pair = iterate(c.meter, a[2]);
    if (pair.size() != 2) fail("tojson: expected two separators");
    options.item_separator = text_argument(pair[0], "tojson");
    options.key_separator = text_argument(pair[1], "tojson");
  }
  return c.text(to_json(c, v, options));
}
Value truncate(Context& c, const Value& v, Arguments& a, Call&) {
  const std::string& text = text_argument(v, "truncate");
  const std::string end = a[2].is(Kind::kMissing) ? "..." : text_argument(a[2], "truncate");
  const int64_t most = a[0].is(Kind::kMissing) ? 255 : int_argument(a[0], "truncate");
  const int64_t leeway = given(a[3]) ? int_argument(a[3], "truncate") : 5;
  const auto tail = static_cast<int64_t>(code_points(end));
  if (most < tail || leeway < 0) fail("truncate: expected a length of at least that of the end");
  c.meter.scan(text.size());
  if (static_cast<int64_t>(v.text().length) - leeway <= most) return v;
  std::string head = text.substr(0, byte_of(text, static_cast<size_t>(most - tail)));
  if (!flag(a[1])) head = head.substr(0, head.rfind(' '));
  return c.text(head + end);
}
Value urlencode(Context& c, const Value& v, Arguments&, Call&) {
  constexpr std::string_view kKept = "_.-~/", kHex = "0123456789ABCDEF";
  std::string out;
  for (const char ch : str(c, v)) {
    const auto b = static_cast<uint8_t>(ch);
    const bool keeps = (b < 0x80 && std::isalnum(b) != 0) || kKept.find(ch) != std::string_view::npos;
    if (keeps) {
      out += ch;
    } else {
      out += {'%', kHex[b >> 4], kHex[b & 15]};
    }
  }
  return c.text(std::move(out));
}

constexpr Builtin kFilters[] = {
    {"abs", "", abs_filter},
    {"attr", "name!", attr},
    {"batch", "linecount!,fill_with", batch},
    {"capitalize", "", capitalize_filter},
    {"center", "width", center},
    {"count", "", length_filter},
    {"d", "default_value,boolean", default_filter},
    {"default", "default_value,boolean", default_filter},
    {"dictsort", "case_sensitive,by,reverse", dictsort},
    {"e", "", escape},
    {"escape", "", escape},
    {"first", "", first},
    {"float", "default", float_filter},
    {"forceescape", "", force_escape},
    {"format", "*", format_filter},
    {"groupby", "attribute!,default,case_sensitive", groupby},
    {"indent", "width,first,blank", indent},
    {"int", "default,base", int_filter},
    {"items", "", items},
    {"join", "d,attribute", join},
    {"last", "", last},
    {"length", "", length_filter},
    {"list", "", list_filter},
    {"lower", "", lower_filter},
    {"map", "*", map_filter},
    {"max", "case_sensitive,attribute", max_filter},
    {"min", "case_sensitive,attribute", min_filter},
    {"reject", "*", reject},
    {"rejectattr", "*", rejectattr},
    {"replace", "old!,new!,count", replace_filter},
    {"reverse", "", reverse},
    {"round", "precision,method", round_filter},
    {"safe", "", safe},
    {"select", "*", select},
    {"selectattr", "*", selectattr},
    {"slice", "slices!,fill_with", slice_filter},
    {"sort", "reverse,case_sensitive,attribute", sort_filter},
    {"string", "", string_filter},
    {"sum", "attribute,start", sum},
    {"title", "", title_of},
    {"tojson", "ensure_ascii,indent,separators,sort_keys", tojson},
    {"trim", "chars", trim},
    {"truncate", "length,killwords,end,leeway", truncate},
    {"unique", "case_sensitive,attribute", unique},
    {"upper", "", upper_filter},
    {"urlencode", "", urlencode},
    {"wordcount", "", wordcount},
};

}  // namespace

const Builtin* find_filter(std::string_view name) {
  const auto* at =
      std::find_if(std::begin(kFilters), std::end(kFilters), [&](const Builtin& b) { return b.name == name; });
  return at == std::end(kFilters) ? nullptr : at;
}

}  // namespace occ::jinja
