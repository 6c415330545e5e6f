#include "calibration/calibration_text.h"

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "base/hash.h"
#include "base/option_name.h"
#include "calibration/documents.h"

namespace occ {
namespace {

constexpr size_t kDefaultSequences = 128, kDefaultContext = 512;
constexpr size_t kTokensPerDimension = 32;
// If there are fewer sequences of full length than this, the rest of the text becomes one more, shorter sequence.
constexpr size_t kFewSequences = 16;
// Number of tokens to hold out from the part of the text that is not used otherwise. If nothing is left over, one of
// kHeldOutShare calibration sequences is held out; of the built-in mixed text it is always one of kHeldOutShareOfMixed.
constexpr size_t kHeldOutTokens = 4096, kHeldOutShare = 8, kHeldOutShareOfMixed = 12;

// Removes sequences with about `tokens` tokens in total from `all`, evenly spread, and returns them.
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

// The tokens of a document. A conversation goes through the chat template; if the model has none, or its
// template refuses the messages, they are a text with the names of the roles, and *untemplated is counted up.
std::vector<TokenId> encode_document(const Tokenizer& tokenizer, const Document& document, size_t* untemplated) {
  if (document.messages.empty()) return tokenizer.encode(document.text, {.add_special = true, .parse_special = false});
  try {
    const ChatOptions options{.add_generation_prompt = false, .time = kFixedChatTime};
    return tokenizer.encode(render_chat(tokenizer, document.messages, options),
                            {.add_special = false, .parse_special = true});
  } catch (const Error&) {
    ++*untemplated;
  }
  std::string text;
  for (const ChatMessage& m : document.messages) text += m.role + ": " + m.content + "\n";
  return tokenizer.encode(text + "\n", {.add_special = true, .parse_special = false});
}

// Cuts the text into chunks of `context` tokens. The first token of a chunk is replaced by BOS if the tokenizer adds
// one, as perplexity.cc does.
Sequences cut_chunks(const Tokenizer& tokenizer, const std::vector<Document>& documents, size_t context,
                     size_t* untemplated) {
  std::vector<TokenId> tokens;
  for (const Document& document : documents) {
    const std::vector<TokenId> some = encode_document(tokenizer, document, untemplated);
    tokens.insert(tokens.end(), some.begin(), some.end());
  }
  Sequences chunks;
  for (size_t i = 0; i + context <= tokens.size() || (chunks.size() < kFewSequences && i + 1 < tokens.size());
       i += context) {
    const auto begin = tokens.begin() + static_cast<ptrdiff_t>(i);
    chunks.emplace_back(begin, begin + static_cast<ptrdiff_t>(std::min(context, tokens.size() - i)));
    if (tokenizer.adds_bos() && tokenizer.bos()) chunks.back()[0] = *tokenizer.bos();
  }
  return chunks;
}

// For encoders: every document, or every line of a document with `lines`, is one sequence. Sequences that are too long
// are cut but keep their last token.
Sequences cut_texts(const Tokenizer& tokenizer, const std::vector<Document>& documents, size_t longest,
                    size_t* untemplated) {
  Sequences texts;
  const auto add = [&](std::vector<TokenId> ids) {
    if (ids.size() > longest) {
      ids[longest - 1] = ids.back();
      ids.resize(longest);
    }
    if (!ids.empty()) texts.push_back(std::move(ids));
  };
  for (const Document& document : documents) {
    if (!document.lines || !document.messages.empty()) {
      add(encode_document(tokenizer, document, untemplated));
      continue;
    }
    const std::string& text = document.text;
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      if (end > begin) {
        add(tokenizer.encode(std::string_view(text).substr(begin, end - begin),
                             {.add_special = true, .parse_special = false}));
      }
      begin = end + 1;
    }
  }
  return texts;
}

// Counts the different runs of eight tokens.
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

}  // namespace

size_t enough_tokens(const ModelConfig& config) {
  return std::min(kTokensPerDimension * config.dim, kDefaultSequences * kDefaultContext);
}

size_t calibration_context(const ModelConfig& config, const CalibrationOptions& options) {
  const size_t most = config.encoder ? config.max_text : config.max_context;
  if (options.context != 0 && (options.context < 2 || (most != 0 && options.context > most))) {
    throw_usage("{}: expected 2 to {} tokens for calibration, found {}", option_name("context"), most, options.context);
  }
  if (options.context != 0) return options.context;
  return most != 0 ? std::min(kDefaultContext, most) : kDefaultContext;
}

CalibrationText read_calibration_text(const TensorFile& file, const ModelConfig& config,
                                      const CalibrationOptions& options, size_t tune_tokens) {
  const size_t context = calibration_context(config, options);
  const std::vector<Document> documents = options.texts.empty() ? mixed_documents() : read_documents(options.texts);
  const std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(file);
  CalibrationText out;
  Sequences all = config.encoder ? cut_texts(*tokenizer, documents, context, &out.untemplated)
                                 : cut_chunks(*tokenizer, documents, context, &out.untemplated);
  if (all.empty()) throw_input("{}: expected text to calibrate with, found none", options.texts.front().string());
  out.bos = tokenizer->bos();
  out.adds_bos = tokenizer->adds_bos();
  out.vocab_size = tokenizer->vocab_size();
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
  if (options.texts.empty()) out.held_out = take_evenly(&all, tokens_of(all) / kHeldOutShareOfMixed);
  out.calibrate = take_evenly(&all, std::min(wanted, 2 * distinct_runs(all)));
  if (options.texts.empty()) return out;
  if (tune_tokens != 0 && !config.encoder) out.tune = take_evenly(&all, tune_tokens);
  if (!all.empty()) {
    out.held_out = take_evenly(&all, kHeldOutTokens);
  } else if (out.calibrate.size() >= kHeldOutShare && tokens_of(out.calibrate) < enough_tokens(config)) {
    out.held_out = take_evenly(&out.calibrate, tokens_of(out.calibrate) / kHeldOutShare);
  }
  return out;
}

}  // namespace occ
