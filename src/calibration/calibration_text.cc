#include "calibration/calibration_text.h"

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/option_name.h"
#include "tokenizer/unicode.h"

namespace occ {
namespace {

constexpr size_t kDefaultSequences = 128, kDefaultContext = 512;
constexpr size_t kTokensPerDimension = 32;
// Where there are fewer sequences of full length, the rest of the text is one more.
constexpr size_t kFewSequences = 16;
// Held out: so many tokens of what is left of the text, or else one of so many sequences.
constexpr size_t kHeldOutTokens = 4096, kHeldOutShare = 8;

// Takes sequences with about `tokens` tokens out of `all`, evenly spread.
Sequences take_evenly(Sequences* all, size_t tokens) {
  const size_t total = tokens_of(*all);
  const size_t count = total <= tokens ? all->size() : std::max<size_t>(1, tokens * all->size() / total);
  Sequences taken, left;
  for (size_t i = 0; i < all->size(); ++i) {
    const bool take = taken.size() < count && i == taken.size() * all->size() / count;
    (take ? taken : left).push_back(std::move((*all)[i]));
  }
  *all = std::move(left);
  return taken;
}

// Chunks of `context` tokens whose first token becomes BOS if the tokenizer adds one, as for perplexity.
Sequences cut_chunks(const Tokenizer& tokenizer, const std::string& text, size_t context) {
  const std::vector<TokenId> tokens = tokenizer.encode(text, {.add_special = true, .parse_special = false});
  Sequences chunks;
  for (size_t i = 0; i + context <= tokens.size() || (chunks.size() < kFewSequences && i + 1 < tokens.size());
       i += context) {
    const auto begin = tokens.begin() + static_cast<ptrdiff_t>(i);
    chunks.emplace_back(begin, begin + static_cast<ptrdiff_t>(std::min(context, tokens.size() - i)));
    if (tokenizer.adds_bos() && tokenizer.bos()) chunks.back()[0] = *tokenizer.bos();
  }
  return chunks;
}

// Every line is a text of its own.
Sequences cut_lines(const Tokenizer& tokenizer, const std::string& text, size_t longest) {
  Sequences lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin) {
      std::vector<TokenId> ids = tokenizer.encode(std::string_view(text).substr(begin, end - begin),
                                                  {.add_special = true, .parse_special = false});
      if (ids.size() > longest) {
        ids[longest - 1] = ids.back();
        ids.resize(longest);
      }
      if (!ids.empty()) lines.push_back(std::move(ids));
    }
    begin = end + 1;
  }
  return lines;
}

// How many different runs of eight tokens there are.
size_t distinct_runs(const Sequences& sequences) {
  constexpr size_t kRun = 8;
  std::unordered_set<uint64_t> runs;
  for (const std::vector<TokenId>& s : sequences) {
    for (size_t i = 0; i < s.size(); ++i) {
      runs.insert(hash64(s.data() + i, std::min(kRun, s.size() - i) * sizeof(TokenId)));
    }
  }
  return runs.size();
}

std::string from_utf16(ByteSpan bytes, bool big_endian) {
  std::string out;
  const auto unit = [&](size_t i) {
    const uint32_t a = bytes[i], b = bytes[i + 1];
    return big_endian ? a << 8 | b : b << 8 | a;
  };
  for (size_t i = 2; i + 1 < bytes.size(); i += 2) {
    uint32_t c = unit(i);
    if (c >= 0xD800 && c < 0xE000) {  // half of a pair
      const uint32_t low = i + 3 < bytes.size() ? unit(i + 2) : 0;
      const bool pair = c < 0xDC00 && low >= 0xDC00 && low < 0xE000;
      c = pair ? 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00) : 0xFFFD;
      if (pair) i += 2;
    }
    append_utf8(c, out);
  }
  return out;
}

}  // namespace

size_t enough_tokens(const ModelConfig& config) {
  return std::min(kTokensPerDimension * config.dim, kDefaultSequences * kDefaultContext);
}

std::string decode_text(ByteSpan bytes, const std::filesystem::path& path) {
  const auto begins = [&](std::initializer_list<uint8_t> mark) {
    return bytes.size() >= mark.size() && std::equal(mark.begin(), mark.end(), bytes.begin());
  };
  std::string text;
  if (begins({0xFF, 0xFE}) || begins({0xFE, 0xFF})) {
    text = from_utf16(bytes, bytes[0] == 0xFE);
  } else {
    if (begins({0xEF, 0xBB, 0xBF})) bytes = bytes.subspan(3);
    text = replace_invalid_utf8({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  size_t characters = 0, bad = 0;
  for (size_t at = 0; at < text.size(); ++characters) {
    const uint32_t c = next_char(text, at);
    bad += c == 0xFFFD || (c < 0x20 && (c < '\t' || c > '\r')) ? 1 : 0;
  }
  if (bad * 10 > characters) {
    throw_input("{}: expected text in UTF-8, or in UTF-16 with a byte order mark, found {} of {} characters invalid",
                path.string(), bad, characters);
  }
  return text;
}

CalibrationText read_calibration_text(const TensorFile& file, const ModelConfig& config,
                                      const CalibrationOptions& options) {
  const std::string text = decode_text(read_file(options.text), options.text);
  const std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(file);
  const size_t most = config.encoder ? config.max_text : config.max_context;
  if (options.context != 0 && (options.context < 2 || (most != 0 && options.context > most))) {
    throw_usage("{}: expected 2 to {} tokens for calibration, found {}", option_name("context"), most, options.context);
  }
  const size_t context = options.context != 0 ? options.context
                         : most != 0          ? std::min(kDefaultContext, most)
                                              : kDefaultContext;
  Sequences all = config.encoder ? cut_lines(*tokenizer, text, context) : cut_chunks(*tokenizer, text, context);
  if (all.empty()) throw_input("{}: expected text to calibrate with, found none", options.text.string());
  CalibrationText out;
  out.bos = tokenizer->bos();
  out.counts.resize(config.vocab_size);
  for (const auto& s : all) {
    for (const TokenId id : s) {
      if (id < 0 || static_cast<size_t>(id) >= config.vocab_size) {
        throw_input("{}: token {}: expected an id below {}, the size of the model's vocabulary", file.path(), id,
                    config.vocab_size);
      }
      ++out.counts[static_cast<size_t>(id)];
    }
  }
  const size_t wanted = options.tokens != 0 ? options.tokens : kDefaultSequences * context;
  out.calibrate = take_evenly(&all, std::min(wanted, 2 * distinct_runs(all)));
  if (options.tune_tokens != 0 && !config.encoder) out.tune = take_evenly(&all, options.tune_tokens);
  if (tokens_of(out.calibrate) >= enough_tokens(config)) return out;
  if (!all.empty()) {
    out.held_out = take_evenly(&all, kHeldOutTokens);
  } else if (out.calibrate.size() >= kHeldOutShare) {
    out.held_out = take_evenly(&out.calibrate, tokens_of(out.calibrate) / kHeldOutShare);
  }
  return out;
}

}  // namespace occ
