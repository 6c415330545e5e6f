#include "report/html.h"

#include <fmt/format.h>

namespace occ {
namespace {

constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --text: #222; --page: #fff; --line: #ddd; --strong: #444; --faint: #666; }
@media (prefers-color-scheme: dark) { :root { --text: #ddd; --page: #16181c; --line: #3a3d44; --strong: #999; --faint: #999; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; color: var(--text); background: var(--page); }
h1 { font-size: 1.4em; overflow-wrap: anywhere; } h2 { font-size: 1.1em; margin-top: 2em; }
table { border-collapse: collapse; font-size: 13px; } th, td { padding: .2em .7em; text-align: right; white-space: nowrap; }
th { border-bottom: 2px solid var(--strong); } td { border-bottom: 1px solid var(--line); }
th:first-child, td:first-child, .words th:last-child, .words td:last-child { text-align: left; }
.scroll { overflow-x: auto; } .caption { color: var(--faint); font-size: 13px; max-width: 60em; }
.figures { display: flex; flex-wrap: wrap; gap: 1em 3em; } .figures b { display: block; font-size: 2em; line-height: 1.2; }
svg { max-width: 100%; height: auto; } svg text { font-size: 11px; fill: var(--text); } svg .grid { stroke: var(--line); }
.code { fill: #4477aa; } .limit { fill: #ee6677; }
)";

}  // namespace

std::string html_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string html_page(std::string_view title, std::string_view body) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width, "
      "initial-scale=1\"><title>{}</title><style>{}</style></head><body>\n{}</body></html>\n",
      html_escaped(title), kStyle, body);
}

}  // namespace occ
