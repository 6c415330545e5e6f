// What Python's str does, on UTF-8. Positions and lengths are in code points unless they are said to be bytes.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

namespace occ::jinja {

size_t code_points(std::string_view text);
// The byte at which the code point after the one at byte `at` begins.
size_t next_code_point(std::string_view text, size_t at);
// The byte at which code point `n` begins; the size of the text if there are no more than n.
size_t byte_of(std::string_view text, size_t n);
// str.isspace() of a code point. It is also \s of Python's regular expressions, by which jinja2 strips white space.
bool is_space(uint32_t c);

// str.strip(chars) and its halves; `chars` null: white space.
std::string_view strip(std::string_view text, const std::string* chars, bool left, bool right);
// str.find in bytes from byte `from`; npos if there is none. Takes linear time.
size_t find_bytes(std::string_view text, std::string_view part, size_t from = 0);
std::string replace(std::string_view text, std::string_view from, std::string_view to, int64_t most);
// str.split(separator, most) and str.rsplit; `separator` null: white space; most < 0: all.
std::vector<std::string> split(std::string_view text, const std::string* separator, int64_t most);
std::vector<std::string> split_right(std::string_view text, const std::string* separator, int64_t most);
std::vector<std::string> split_lines(std::string_view text, bool keep_ends);

std::string lower(std::string_view text);
std::string upper(std::string_view text);
std::string capitalize(std::string_view text);
std::string title(std::string_view text);         // str.title()
std::string title_filter(std::string_view text);  // the filter `title` of jinja2
// str.isalpha(), isdigit(), isalnum(), isspace(), islower(), isupper(), by name; false for any other name.
bool is_all(std::string_view text, std::string_view what);

std::string python_quote(std::string_view text);  // repr()
std::string escape_html(std::string_view text);
// time.strftime in the C locale; local time.
std::string format_time(const std::string& format, std::time_t time);

}  // namespace occ::jinja
