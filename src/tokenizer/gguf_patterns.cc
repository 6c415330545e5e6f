// The names are those that llama.cpp's converter writes. The patterns are those of the tokenizer.json of these models;
// llama.cpp itself has to use other ones, because it supports neither \p{Lu} nor (?i:).
#include "tokenizer/gguf_patterns.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "io/json.h"

namespace occ {
namespace {

using Patterns = std::string_view;

#define OCC_GPT2 R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"
#define OCC_CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define OCC_SPACES R"(|\s*[\r\n]+|\s+(?!\S)|\s+)"
#define OCC_LETTERS R"(|[^\r\n\p{L}\p{N}]?\p{L}+)"
#define OCC_OTHERS R"(| ?[^\s\p{L}\p{N}]+[\r\n]*)"
// Words whose capitals stand at their beginning (GPT-4o, Tekken); `tail` is what may follow a word.
#define OCC_CASED_WORDS(tail)                                                            \
  R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)" tail \
  R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)" tail

constexpr Patterns kGpt2[] = {OCC_GPT2};
constexpr Patterns kDigitsGpt2[] = {R"(\p{N})", OCC_GPT2};
constexpr Patterns kDefault[] = {R"([\p{P}\$\+<=>\^~\|]+)", OCC_GPT2, R"(\p{N}+)", "[0-9][0-9][0-9]"};
constexpr Patterns kFalcon[] = {R"([\p{P}\$\+<=>\^~\|`]+)", OCC_GPT2, "[0-9][0-9][0-9]"};
constexpr Patterns kJais2[] = {
    OCC_CONTRACTIONS OCC_LETTERS
    R"(|\p{N}{1,3})" OCC_OTHERS
    R"(|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S))"
    R"(|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})"};
constexpr Patterns kLlama3[] = {OCC_CONTRACTIONS OCC_LETTERS R"(|\p{N}{1,3})" OCC_OTHERS OCC_SPACES};
constexpr Patterns kQwen2[] = {OCC_CONTRACTIONS OCC_LETTERS R"(|\p{N})" OCC_OTHERS OCC_SPACES};
constexpr Patterns kQwen35[] = {OCC_CONTRACTIONS
                                R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)" OCC_SPACES};
constexpr Patterns kMiniCpm5[] = {R"(\p{N}{1,3})", OCC_CONTRACTIONS OCC_LETTERS R"(|\p{N}+)" OCC_OTHERS OCC_SPACES};
constexpr Patterns kGpt4o[] = {
    OCC_CASED_WORDS(OCC_CONTRACTIONS "?") R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*)" OCC_SPACES};
constexpr Patterns kTinyAya[] = {R"(\d{1,3}(?=(?:\d{3})*\b))", kGpt4o[0]};
constexpr Patterns kTekken[] = {OCC_CASED_WORDS("") R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*)" OCC_SPACES};
constexpr Patterns kYoutu[] = {
    "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\u3040-ゟ゠-ヿ]+",
    OCC_CASED_WORDS(OCC_CONTRACTIONS "?") R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*)" OCC_SPACES};
// Capitals and other letters without ideographs.
#define OCC_UPPER R"((?:(?!\p{Han})[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]))"
#define OCC_LOWER R"((?:(?!\p{Han})[\p{Ll}\p{Lm}\p{Lo}\p{M}]))"
constexpr Patterns kKimiK2[] = {R"(\p{Han}+|[^\r\n\p{L}\p{N}]?)" OCC_UPPER "*" OCC_LOWER "+" OCC_CONTRACTIONS
                                R"(?|[^\r\n\p{L}\p{N}]?)" OCC_UPPER "+" OCC_LOWER "*" OCC_CONTRACTIONS
                                R"(?|\p{N}{1,3})" OCC_OTHERS OCC_SPACES};
constexpr Patterns kUfakzeka[] = {R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N})" OCC_OTHERS OCC_SPACES};
constexpr Patterns kSuperBpe[] = {R"(\p{N}+)", R"((?=(\d{3})+(?!\d)))"};
constexpr Patterns kChameleon[] = {"<sentinel:[0-9]+>",       "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
                                   R"([\t\n]|    |  )",       R"(\p{N})",
                                   R"([\p{P}!-/:-@\[-`{-~])", OCC_GPT2};
constexpr Patterns kLines[] = {R"([^\n]+|\n+)"};
constexpr Patterns kLaguna[] = {kLines[0], kQwen2[0]};
constexpr Patterns kWords[] = {R"(\S+)"};
constexpr Patterns kBloom[] = {R"( ?[^(\s|.,!?…。，、।۔،)]+)"};
constexpr Patterns kViking[] = {R"( ?[^(\s|.,!?…。，、।۔،)]+)", R"(\p{N})"};
constexpr Patterns kBailing[] = {
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)"};
constexpr Patterns kSeedCoder[] = {OCC_CONTRACTIONS OCC_LETTERS R"(|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+)" OCC_SPACES};
constexpr Patterns kExaoneMoe[] = {
    OCC_CONTRACTIONS R"(|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?)"
                     R"(|\s*[\r\n]|\s+(?!\S)|\s+)"};
constexpr Patterns kDeepseekCoder[] = {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", R"([一-龥\x{800}-一가-\x{d7ff}]+)",
                                       R"(\p{N})"};
// Cased letters of an older Unicode.
constexpr Patterns kDeepseekLlm[] = {
    R"([\r\n])",
    R"(\s?[)"
    R"(A-Za-z\x{b5}\x{c0}-\x{d6}\x{d8}-\x{f6}\x{f8}-\x{1ba}\x{1bc}-\x{1bf}\x{1c4}-\x{293}\x{295}-\x{2af})"
    R"(\x{370}-\x{373}\x{376}\x{377}\x{37b}-\x{37d}\x{37f}\x{386}\x{388}-\x{38a}\x{38c}\x{38e}-\x{3a1})"
    R"(\x{3a3}-\x{3f5}\x{3f7}-\x{481}\x{48a}-\x{52f}\x{531}-\x{556}\x{10a0}-\x{10c5}\x{13a0}-\x{13f5})"
    R"(\x{13f8}-\x{13fd}\x{1c90}-\x{1cba}\x{1cbd}-\x{1cbf}\x{1d00}-\x{1d2b}\x{1d6b}-\x{1d77})"
    R"(\x{1d79}-\x{1d9a}\x{1e00}-\x{1f15}\x{1f18}-\x{1f1d}\x{1f20}-\x{1f45}\x{1f48}-\x{1f4d})"
    R"(\x{1f50}-\x{1f57}\x{1f59}\x{1f5b}\x{1f5d}\x{1f5f}-\x{1f7d}\x{1f80}-\x{1fb4}\x{1fb6}-\x{1fbc}\x{1fbe})"
    R"(\x{1fc2}-\x{1fc4}\x{1fc6}-\x{1fcc}\x{1fd0}-\x{1fd3}\x{1fd6}-\x{1fdb}\x{1fe0}-\x{1fec})"
    R"(\x{1ff2}-\x{1ff4}\x{1ff6}-\x{1ffc}\x{2102}\x{2107}\x{210a}-\x{2113}\x{2115}\x{2119}-\x{211d}\x{2124})"
    R"(\x{2126}\x{2128}\x{212a}-\x{212d}\x{212f}-\x{2134}\x{2139}\x{213c}-\x{213f}\x{2145}-\x{2149}\x{214e})"
    R"(\x{2183}\x{2184}\x{2c00}-\x{2c7b}\x{2c7e}-\x{2ce4}\x{2ceb}-\x{2cee}\x{2cf2}\x{2cf3}\x{a640}-\x{a66d})"
    R"(\x{a680}-\x{a69b}\x{a722}-\x{a76f}\x{a771}-\x{a787}\x{a78b}-\x{a78e}\x{ab70}-\x{abbf})"
    R"(\x{fb00}-\x{fb06}\x{fb13}-\x{fb17}\x{ff21}-\x{ff3a}\x{ff41}-\x{ff5a}\x{10400}-\x{1044f})"
    R"(\x{104b0}-\x{104d3}\x{104d8}-\x{104fb}\x{10c80}-\x{10cb2}\x{10cc0}-\x{10cf2}\x{118a0}-\x{118df})"
    R"(\x{1e900}-\x{1e943})"
    R"(]+)",
    R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)",
    R"(\s+$)",
    R"([一-龥\x{800}-一가-\x{d7ff}]+)",
    R"(\p{N}+)"};
#define OCC_PUNCTUATED_WORDS R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
constexpr Patterns kDeepseekV3[] = {R"(\p{N}{1,3})", R"([一-龥\x{3040}-ゟ゠-ヿ]+)",
                                    OCC_PUNCTUATED_WORDS R"(| ?[\p{P}\p{S}]+[\r\n]*)" OCC_SPACES};
constexpr Patterns kSpark[] = {kDeepseekV3[0], kDeepseekV3[1],
                               OCC_PUNCTUATED_WORDS R"(| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+)", R"(\p{N})"};
// Numbers are cut into groups of three digits from their end.
constexpr Patterns kAfmoe[] = {
    R"(\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N})))",
    R"([一-\x{9fff}㐀-䶿豈-\x{faff}\x{3040}-ゟ゠-ヿ･-ﾟ⼀-\x{2fdf}เ-\x{e7f}\x{e80}-\x{eff}ក-\x{17ff}က-႟ꩠ-ꩿꧠ-\x{a9ff}가-\x{d7af}ᄀ-ᇿ]+)",
    kDeepseekV3[2]};

constexpr GgufPattern kPatterns[] = {
    {"default", kDefault},
    {"gpt-2", kGpt2},
    {"phi-2", kGpt2},
    {"mpt", kGpt2},
    {"olmo", kGpt2},
    {"jais", kGpt2},
    {"trillion", kGpt2},
    {"gigachat", kGpt2},
    {"exaone4", kGpt2},
    {"a.x-4.0", kGpt2},
    {"mellum", kGpt2},
    {"modern-bert", kGpt2},
    {"granite-docling", kGpt2},
    {"jina-es", kGpt2},
    {"jina-de", kGpt2},
    {"jina-v2-es", kGpt2},
    {"jina-v2-de", kGpt2},
    {"jina-v1-en", kGpt2},
    {"jina-v2-code", kGpt2},
    {"roberta-bpe", kGpt2},
    {"starcoder", kDigitsGpt2},
    {"refact", kDigitsGpt2},
    {"command-r", kDigitsGpt2},
    {"smollm", kDigitsGpt2},
    {"codeshell", kDigitsGpt2},
    {"exaone", kDigitsGpt2},
    {"minerva-7b", kDigitsGpt2},
    {"mellum2", kDigitsGpt2},
    {"falcon", kFalcon},
    {"llama3", kLlama3, true, true},
    {"llama-v3", kLlama3, true, true},
    {"llama-bpe", kLlama3, true, true},
    {"falcon3", kLlama3, true, true},
    {"falcon-h1", kLlama3, true, true},
    {"pixtral", kLlama3, true, true},
    {"midm-2.0", kLlama3, true, true},
    {"lfm2", kLlama3, true, true},
    {"jina-v5-nano", kLlama3, true, true},
    {"dbrx", kLlama3},
    {"smaug-bpe", kLlama3},
    {"glm4", kLlama3, true},
    {"glm5", kLlama3, true},
    {"chatglm-bpe", kLlama3},
    {"jais-2", kJais2},
    {"minicpm5", kMiniCpm5, true},
    {"qwen2", kQwen2},
    {"deepseek-r1-qwen", kQwen2},
    {"megrez", kQwen2},
    {"stablelm2", kQwen2},
    {"hunyuan", kQwen2},
    {"solar-open", kQwen2},
    {"grok-2", kQwen2},
    {"kormo", kQwen2},
    {"f2llmv2", kQwen2},
    {"laguna", kLaguna},
    {"ufakzeka", kUfakzeka},
    {"qwen35", kQwen35},
    {"gpt-4o", kGpt4o},
    {"llama4", kGpt4o},
    {"kanana2", kGpt4o},
    {"minimax-m2", kGpt4o},
    {"talkie", kGpt4o},
    {"granite-embed-multi-97m", kGpt4o, true},
    {"tiny_aya", kTinyAya},
    {"cohere2moe", kTinyAya},
    {"youtu", kYoutu, true},
    {"kimi-k2", kKimiK2},
    {"superbpe", kSuperBpe},
    {"chameleon", kChameleon, false, true},
    {"tekken", kTekken, true, true},
    {"bloom", kBloom},
    {"poro-chat", kBloom},
    {"gpt3-finnish", kBloom},
    {"viking", kViking},
    {"bailingmoe", kBailing},
    {"bailingmoe2", kBailing},
    {"llada-moe", kBailing},
    {"seed-coder", kSeedCoder},
    {"exaone-moe", kExaoneMoe},
    {"deepseek-llm", kDeepseekLlm},
    {"deepseek-coder", kDeepseekCoder},
    {"deepseek-v3", kDeepseekV3},
    {"hunyuan-dense", kDeepseekV3},
    {"joyai-llm", kDeepseekV3},
    {"hy_v4", kDeepseekV3},
    {"spark2_5", kSpark},
    {"afmoe", kAfmoe},
    {"gemma4", kLines, false, true, BpeSymbols::kMetaspace},
    {"granite-embed-multi-311m", kLines, false, true, BpeSymbols::kMetaspace},
    {"sarvam-moe", kLines, false, false, BpeSymbols::kMetaspace},
    {"whitespace", kWords, false, false, BpeSymbols::kCharacters},
};

}  // namespace

const GgufPattern& gguf_pattern(std::string_view name, const std::string& what) {
  const auto* it =
      std::find_if(std::begin(kPatterns), std::end(kPatterns), [&](const auto& p) { return p.name == name; });
  if (it != std::end(kPatterns)) return *it;
  std::vector<std::string_view> known;
  for (const auto& p : kPatterns) known.push_back(p.name);
  throw_input("{}: tokenizer.ggml.pre: expected one of {}, found '{}'", what, fmt::join(known, " "), printable(name));
}

std::vector<std::string> gguf_pattern_names() {
  std::vector<std::string> names = {"gpt-2", "llama-bpe", "qwen2", "smollm"};
  std::vector<const std::string_view*> seen;
  for (const std::string& name : names) seen.push_back(gguf_pattern(name, "").patterns.data());
  for (const GgufPattern& p : kPatterns) {
    if (p.symbols != BpeSymbols::kBytes) continue;
    if (std::find(seen.begin(), seen.end(), p.patterns.data()) != seen.end()) continue;
    names.emplace_back(p.name);
    seen.push_back(p.patterns.data());
  }
  return names;
}

}  // namespace occ
