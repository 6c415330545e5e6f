// What all HTML pages share: they need no other file and no network, follow the light or dark scheme of the reader, and
// fit the screen of a phone.
#pragma once

#include <string>
#include <string_view>

namespace occ {

// Returns the text with <, >, & and quotes as entities, for the content of an element or of an attribute.
std::string html_escaped(std::string_view text);
// Returns a whole page. The title is text, the body is HTML.
std::string html_page(std::string_view title, std::string_view body);

}  // namespace occ
