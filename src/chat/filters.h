// Filters that are longer than a few lines, for the table in filters.cc: those that sort, select and convert.
#pragma once

#include <string>
#include <vector>

#include "chat/builtins.h"

namespace occ::jinja {

Value dictsort(Context& c, const Value& v, std::vector<Value>& a, Call& call);
Value float_filter(Context& c, const Value& v, std::vector<Value>& a, Call& call);
Value groupby(Context& c, const Value& v, std::vector<Value>& a, Call& call);
Value int_filter(Context& c, const Value& v, std::vector<Value>& a, Call& call);
Value map_filter(Context& c, const Value& v, std::vector<Value>& a, Call& call);
Value max_filter(Context& c, const Value& v, std::vector<Value>& a, Call& call);
Value min_filter(Context& c, const Value& v, std::vector<Value>& a, Call& call);
Value reject(Context& c, const Value& v, std::vector<Value>& a, Call& call);
Value rejectattr(Context& c, const Value& v, std::vector<Value>& a, Call& call);
Value select(Context& c, const Value& v, std::vector<Value>& a, Call& call);
Value selectattr(Context& c, const Value& v, std::vector<Value>& a, Call& call);
Value sort_filter(Context& c, const Value& v, std::vector<Value>& a, Call& call);
Value unique(Context& c, const Value& v, std::vector<Value>& a, Call& call);
Value wordcount(Context& c, const Value& v, std::vector<Value>& a, Call& call);

// round(v, digits) of Python.
Value round_half_even(Context& c, const Value& v, int64_t digits);
// Counts what replacing in a text can cost.
void charge_replace(Context& c, const std::string& text, const std::string& from, const std::string& to);

}  // namespace occ::jinja
