#include "tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <new>

#include "base/check.h"
#include "base/error.h"
#include "io/json.h"
#include "tokenizer/unicode.h"

namespace occ {
namespace {

constexpr char kWordClass[] = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
constexpr std::array<std::string_view, 12> kScriptNames = {"Han",        "Hiragana", "Katakana", "Hangul",
                                                           "Latin",      "Greek",    "Arabic",   "Cyrillic",
                                                           "Devanagari", "Thai",     "Lao",      "Hebrew"};

// Most matches take few steps. All matches in a text together may take more per byte of it, and each as many more as
// are left: a long run of spaces is walked from its end to its start, but a pattern that tries every way to cut a word
// is refused.
constexpr uint64_t kFewSteps = 1000, kStepsPerByte = 1000, kStepsOfEmpty = 64'000;

// What matching needs, kept by the thread.
struct Scratch {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  Scratch() = default;
  ~Scratch() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

// The first match from `at` on. PCRE2 does not say how many steps it took: it is asked with ten times as many until
// they are enough, and those come off `left`.
int find_match(const pcre2_code* code, std::string_view subject, size_t at, const Scratch& scratch, uint64_t& left) {
  const auto* text = reinterpret_cast<PCRE2_SPTR>(subject.data());
  const auto match = [&](uint32_t options) {
    return pcre2_match(code, text, subject.size(), at, options, scratch.data, scratch.context);
  };
  for (uint64_t steps = kFewSteps;; steps *= 10) {
    const uint64_t limit = std::max(kFewSteps, std::min(steps, left));
    pcre2_set_match_limit(scratch.context, static_cast<uint32_t>(std::min<uint64_t>(limit, UINT32_MAX)));
    int result = match(PCRE2_NO_UTF_CHECK);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT);
    if (result == PCRE2_ERROR_MATCHLIMIT && steps < left) continue;
    if (steps > kFewSteps) left -= std::min(steps, left);
    return result;
  }
}

// Oniguruma's syntax to PCRE2's.
std::string translate(std::string_view pattern, const std::string& what) {
  const auto refuse = [&](std::string_view part) {
    throw_input("{}: pattern '{}': '{}' is not supported", what, printable(pattern), part);
  };
  std::string out;
  size_t depth = 0;  // of nested classes
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char e = pattern[++i];
      if (e == 'h' || e == 'H') refuse("\\h");
      if (e == 's' || (e == 'S' && depth == 0)) {
        out += depth > 0 ? kWhiteSpaceClass : std::string(e == 's' ? "[" : "[^") + kWhiteSpaceClass + "]";
      } else if (e == 'w' || (e == 'W' && depth == 0)) {
        out += depth > 0 ? kWordClass : std::string(e == 'w' ? "[" : "[^") + kWordClass + "]";
      } else {
        out += {'\\', e};
        if ((e == 'p' || e == 'P') && i + 1 < pattern.size() && pattern[i + 1] == '{') {
          for (const std::string_view script : kScriptNames) {
            if (!pattern.substr(i + 2).starts_with(std::string(script) + "}")) continue;
            out += "{sc:" + std::string(script) + "}";
            i += script.size() + 2;
            break;
          }
        }
      }
      continue;
    }
    if (depth > 0 && c == '&' && pattern.substr(i).starts_with("&&")) refuse("&&");
    if (depth == 0 && c == '(' && pattern.substr(i).starts_with("(?")) {
      // Option letters mean other things, except i.
      for (size_t k = i + 2; k < pattern.size() && (std::isalpha(static_cast<unsigned char>(pattern[k])) != 0); ++k) {
        if (pattern[k] == 'm' || pattern[k] == 's' || pattern[k] == 'x') refuse("(?m), (?s) or (?x)");
      }
    }
    out.push_back(c);
    if (c == '[') {
      if (depth > 0) {
        if (!pattern.substr(i).starts_with("[:")) refuse("[ in a class");
        const size_t end = pattern.find(":]", i);
        if (end == std::string_view::npos) refuse("[:");
        out += pattern.substr(i + 1, end + 1 - i);
        i = end + 1;
        continue;
      }
      ++depth;
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') out.push_back(pattern[++i]);
      // A ] that comes first stands for itself.
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') {
        out += "\\]";
        ++i;
      }
    } else if (c == ']' && depth > 0) {
      --depth;
    }
  }
  return out;
}

}  // namespace

struct Regex::Code {
  pcre2_code* code = nullptr;
  std::string where;  // for errors
  ~Code() { pcre2_code_free(code); }
};

Regex::Regex(std::string_view pattern, const std::string& what) : code_(std::make_unique<Code>()) {
  code_->where = fmt::format("{}: pattern '{}'", what, printable(pattern));
  if (pattern.size() > 100'000) throw_input("{}: longer than 100000 bytes", code_->where);
  const std::string translated = translate(replace_invalid_utf8(pattern), what);
  int error = 0;
  PCRE2_SIZE offset = 0;
  // PCRE2_UCP: Unicode in \d and (?i); PCRE2_MULTILINE: Oniguruma's ^ and $ always stand at lines.
  code_->code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr);
  if (code_->code == nullptr) {
    std::array<PCRE2_UCHAR, 256> message{};
    pcre2_get_error_message(error, message.data(), message.size());
    throw_input("{}: {}", code_->where, reinterpret_cast<const char*>(message.data()));
  }
  // Where there is no JIT, matching is interpreted.
  pcre2_jit_compile(code_->code, PCRE2_JIT_COMPLETE);
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

std::vector<std::pair<size_t, size_t>> Regex::matches(std::string_view subject) const {
  thread_local const Scratch kScratch;
  if (kScratch.data == nullptr || kScratch.context == nullptr) throw std::bad_alloc();
  std::vector<std::pair<size_t, size_t>> out;
  uint64_t left = kStepsOfEmpty + kStepsPerByte * subject.size();
  for (size_t at = 0; at <= subject.size();) {
    const int result = find_match(code_->code, subject, at, kScratch, left);
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result < 0) throw_input("{}: takes too many steps on a text (PCRE2 error {})", code_->where, result);
    const PCRE2_SIZE* pair = pcre2_get_ovector_pointer(kScratch.data);
    // \K in a lookahead can put the begin behind the end.
    if (pair[0] < at || pair[1] < pair[0]) throw_input("{}: matches overlap", code_->where);
    out.emplace_back(pair[0], pair[1]);
    at = pair[1];
    if (pair[0] == pair[1]) at += at < subject.size() ? utf8_length(subject[at]) : 1;
  }
  return out;
}

}  // namespace occ
