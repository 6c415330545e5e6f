#include "report/html.h"

#include <fmt/format.h>

#include "io/json.h"

namespace occ {
namespace {

// The colours are Tol's, which people with colour-blindness can tell apart, and lighter ones for the dark scheme.
constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --text: #222; --page: #fff; --line: #ddd; --strong: #444; --faint: #666; --heat: 68, 119, 170; --bad: 204, 51, 17;
  --c0: #4477aa; --c1: #cc3355; --c2: #228833; --c3: #997700; --c4: #117799; --c5: #aa3377; --c6: #cc5522; --c7: #117755; --c8: #5566cc; --c9: #777722; --c10: #777; }
@media (prefers-color-scheme: dark) { :root { --text: #ddd; --page: #16181c; --line: #3a3d44; --strong: #999; --faint: #a0a0a0; --heat: 90, 150, 220; --bad: 255, 120, 90;
  --c0: #77aadd; --c1: #ff8899; --c2: #66cc77; --c3: #ddcc66; --c4: #77ddff; --c5: #dd88bb; --c6: #ffaa88; --c7: #66ccaa; --c8: #99aaff; --c9: #cccc66; --c10: #aaa; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; color: var(--text); background: var(--page); }
h1 { font-size: 1.4em; overflow-wrap: anywhere; } h2 { font-size: 1.15em; margin-top: 2em; } h3 { font-size: 1em; margin: 0 0 .5em; }
table { border-collapse: collapse; font-size: 13px; } th, td { padding: .2em .7em; text-align: right; white-space: nowrap; }
th { border-bottom: 2px solid var(--strong); } td { border-bottom: 1px solid var(--line); }
th:first-child, td:first-child, .words th:last-child, .words td:last-child { text-align: left; }
.scroll { overflow-x: auto; max-width: 100%; } .caption, figcaption { color: var(--faint); font-size: 13px; max-width: 60em; overflow-wrap: anywhere; }
code { font-size: 12px; overflow-wrap: anywhere; } .failed { color: rgb(var(--bad)); white-space: normal; }
.numbers { display: flex; flex-wrap: wrap; gap: 1em 3em; } .numbers b { display: block; font-size: 2em; line-height: 1.2; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28em), 1fr)); gap: 2em; align-items: start; }
figure { margin: 0 0 1em; min-width: 0; } svg { display: block; width: 100%; max-width: 40em; height: auto; }
svg text { font-size: 11.5px; fill: var(--text); } svg .small { font-size: 10px; } svg .middle { text-anchor: middle; } svg .end { text-anchor: end; } svg .axis { fill: var(--faint); }
svg .grid { stroke: var(--line); fill: none; } svg .line { fill: none; stroke: var(--c); stroke-width: 2; } svg .limit { stroke: var(--text); stroke-dasharray: 5 4; stroke-width: 1.5; }
svg .dot { fill: var(--c); fill-opacity: .85; } svg .strong { stroke: var(--text); stroke-width: 1.5; } svg .fill { fill: var(--c); } svg .edge { stroke: var(--page); }
svg .heat { fill: rgb(var(--heat)); } svg .empty { fill: none; stroke: var(--line); } svg .whisker { stroke: var(--text); fill: none; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .1em 1.2em; padding: 0; margin: .3em 0; font-size: 13px; } .legend i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; background: var(--c); border-radius: 50%; }
.answers { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22em), 1fr)); gap: 1em; } .answers p { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid var(--line); padding: .7em; margin: 0; }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); } .c4 { --c: var(--c4); } .c5 { --c: var(--c5); }
.c6 { --c: var(--c6); } .c7 { --c: var(--c7); } .c8 { --c: var(--c8); } .c9 { --c: var(--c9); } .c10 { --c: var(--c10); } .ck { --c: var(--text); }
)";

constexpr size_t kColours = 10;

}  // namespace

std::string html_escaped(std::string_view text) {
  std::string out;
  for (const char c : printable(text, 1 << 20)) {
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

std::string shell_quoted(const std::string& text) {
  constexpr const char* kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:@%+,";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string html_page(std::string_view title, std::string_view body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/><meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\"/><title>{}</title><style>{}</style></head><body>\n{}</body>"
      "</html>\n",
      html_escaped(title), kStyle, body);
}

std::string big_numbers(std::span<const BigNumber> numbers) {
  std::string out = "<div class=\"numbers\">";
  for (const BigNumber& n : numbers) {
    out += fmt::format("<div><b>{}</b>{}</div>", html_escaped(n.value), html_escaped(n.label));
  }
  return out + "</div>\n";
}

std::string figure(std::string_view title, std::string_view drawing, std::string_view caption,
                   std::string_view command) {
  return fmt::format("<figure><h3>{}</h3>\n{}<figcaption>{}{}</figcaption></figure>\n", html_escaped(title), drawing,
                     html_escaped(caption),
                     command.empty() ? "" : fmt::format(" To repeat it: <code>{}</code>", html_escaped(command)));
}

std::string figures(std::span<const std::string> figures) {
  std::string out = "<div class=\"figures\">\n";
  for (const std::string& f : figures) out += f;
  return out + "</div>\n";
}

std::string html_table(std::span<const std::string> headings, std::span<const std::vector<std::string>> rows,
                       bool words) {
  std::string out = fmt::format("<div class=\"scroll\"><table{}><thead><tr>", words ? " class=\"words\"" : "");
  for (const std::string& h : headings) out += "<th>" + html_escaped(h) + "</th>";
  out += "</tr></thead><tbody>\n";
  for (const std::vector<std::string>& row : rows) {
    out += "<tr>";
    for (const std::string& cell : row) out += "<td>" + cell + "</td>";
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

std::string series_class(size_t i) { return fmt::format("c{}", i < kColours ? i : kColours); }

}  // namespace occ
