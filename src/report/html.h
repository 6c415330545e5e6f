// What all HTML pages share: they need no other file and no network, follow the light or dark scheme of the reader, and
// fit the screen of a phone. They are well-formed XML as well, so that other programs can read the figures of a page.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace occ {

// Returns the text with <, >, & and quotes as entities, for the content of an element or of an attribute. Control
// characters and bytes that are not UTF-8 become '?'.
std::string html_escaped(std::string_view text);
// Returns the text as one word of a shell, in quotes where that is needed.
std::string shell_quoted(const std::string& text);

// Returns a whole page. The title is text, the body is HTML.
std::string html_page(std::string_view title, std::string_view body);

// One of the numbers that a page begins with, and what it is.
struct BigNumber {
  std::string value, label;
};
std::string big_numbers(std::span<const BigNumber> numbers);

// A drawing with its caption, which says what was measured and how to repeat it (`command`; may be empty). Both are text.
std::string figure(std::string_view title, std::string_view drawing, std::string_view caption,
                   std::string_view command);
// Figures that stand side by side where the screen is wide enough.
std::string figures(std::span<const std::string> figures);

// A table. The cells are HTML; the first column is text, and with `words` the last one as well.
std::string html_table(std::span<const std::string> headings, std::span<const std::vector<std::string>> rows,
                       bool words);

// The class of the colour of the i-th of several things that are shown together. After ten, all are grey.
std::string series_class(size_t i);

}  // namespace occ
