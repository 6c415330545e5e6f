// Reads tokenizer.model of SentencePiece (Kudo & Richardson, arXiv 1808.06226): a message of protocol buffers with the
// pieces, their scores and the rules of white space (sentencepiece_model.proto of its source). It is turned into the
// metadata that GGUF would have, as llama.cpp's converter does.
#include <algorithm>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "io/gguf_metadata.h"
#include "io/json_fields.h"
#include "tensor/side_files.h"
#include "tokenizer/token_types.h"
#include "tokenizer/tokenizer_pipeline.h"

namespace occ {
namespace {

using nlohmann::json;

// The fields of a message, one after the other.
class Message {
 public:
  Message(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  struct Field {
    uint64_t number = 0;
    uint64_t value = 0;      // of a varint or a fixed number
    std::string_view bytes;  // of a string or a message
  };
  // Returns false at the end.
  bool next(Field* field) {
    if (at_ == bytes_.size()) return false;
    const uint64_t key = varint();
    *field = {key >> 3, 0, {}};
    switch (key & 7) {
      case 0:
        field->value = varint();
        break;
      case 1:
        field->value = fixed(8);
        break;
      case 2:
        field->bytes = take(varint());
        break;
      case 5:
        field->value = fixed(4);
        break;
      default:
        fail();
    }
    return true;
  }

 private:
  [[noreturn]] void fail() const { throw_input("{}: expected a model of SentencePiece, found other bytes", where_); }
  std::string_view take(uint64_t count) {
    if (count > bytes_.size() - at_) fail();
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<uint8_t>(take(1)[0]);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    fail();
  }
  uint64_t fixed(size_t count) {
    uint64_t value = 0;
    const std::string_view text = take(count);
    for (size_t i = count; i-- > 0;) value = value << 8 | static_cast<uint8_t>(text[i]);
    return value;
  }

  std::string_view bytes_;
  const std::string& where_;
  size_t at_ = 0;
};

struct PieceModel {
  std::vector<std::string> pieces;
  std::vector<float> scores;
  std::vector<int32_t> types;
  uint64_t kind = 1;  // 1 Unigram, 2 BPE, 3 words, 4 characters
  std::string map;
  bool add_prefix = true, remove_extra = true, as_suffix = false;
  uint64_t unk = 0, bos = 1, eos = 2;  // SIZE_MAX for none, as -1 is written

  void add(std::string piece, float score, int32_t type) {
    pieces.push_back(std::move(piece));
    scores.push_back(score);
    types.push_back(type);
  }
};

void parse_piece(std::string_view bytes, const std::string& where, PieceModel* model) {
  Message message(bytes, where);
  std::string piece;
  float score = 0;
  int32_t type = kNormalToken;
  for (Message::Field f; message.next(&f);) {
    if (f.number == 1) piece = f.bytes;
    if (f.number == 2) score = std::bit_cast<float>(static_cast<uint32_t>(f.value));
    if (f.number == 3 && f.value >= 1 && f.value <= kByteToken) type = static_cast<int32_t>(f.value);
  }
  model->add(std::move(piece), score, type);
}

PieceModel parse_model(std::string_view bytes, const std::string& where) {
  PieceModel model;
  Message message(bytes, where);
  for (Message::Field f; message.next(&f);) {
    if (f.number == 1) parse_piece(f.bytes, where, &model);
    if (f.number != 2 && f.number != 3) continue;
    Message inner(f.bytes, where);
    for (Message::Field g; inner.next(&g);) {
      if (f.number == 2) {  // trainer_spec
        if (g.number == 3) model.kind = g.value;
        if (g.number == 24) model.as_suffix = g.value != 0;
        if (g.number == 40) model.unk = g.value;
        if (g.number == 41) model.bos = g.value;
        if (g.number == 42) model.eos = g.value;
      } else {  // normalizer_spec
        if (g.number == 2) model.map = g.bytes;
        if (g.number == 3) model.add_prefix = g.value != 0;
        if (g.number == 4) model.remove_extra = g.value != 0;
      }
    }
  }
  if (model.pieces.empty()) throw_input("{}: expected a model of SentencePiece with pieces, found none", where);
  if (model.kind != 1 && model.kind != 2) {
    throw_input("{}: expected a model of type Unigram or BPE, found {}", where,
                model.kind == 3 ? "words" : "characters");
  }
  if (model.as_suffix) throw_input("{}: expected white space before words, found it behind them", where);
  return model;
}

// fairseq, and XLM-R with it, has other ids for the special tokens.
void renumber_as_fairseq(PieceModel* model) {
  PieceModel out = *model;
  out.pieces.clear();
  out.scores.clear();
  out.types.clear();
  out.add("<s>", 0, kControlToken);
  out.add("<pad>", 0, kControlToken);
  out.add("</s>", 0, kControlToken);
  out.add("<unk>", 0, kUnknownToken);
  for (size_t i = 3; i < model->pieces.size(); ++i) out.add(model->pieces[i], model->scores[i], model->types[i]);
  out.add("<mask>", 0, kControlToken);
  out.bos = 0;
  out.eos = 2;
  out.unk = 3;
  *model = std::move(out);
}

// Tokens that the configuration adds to those of the model; of equal ids the first counts.
std::vector<AddedToken> added_tokens(const json& config, const json& added, const std::string& what, size_t limit) {
  std::vector<AddedToken> out;
  const JsonField decoder = JsonField{&config, what + "/tokenizer_config.json: $"}.at("added_tokens_decoder");
  const auto put = [&](uint64_t id, AddedToken token, const std::string& where) {
    if (id >= limit) throw_input("{}: expected ids below {}, found {}", where, limit, id);
    token.id = static_cast<TokenId>(id);
    const bool known = std::any_of(out.begin(), out.end(), [&](const AddedToken& t) { return t.id == token.id; });
    if (!known) out.push_back(std::move(token));
  };
  if (decoder.present()) {
    for (const auto& [key, value] : decoder.object().items()) {
      const JsonField field{&value, fmt::format("{}['{}']", decoder.where, printable(key, 20))};
      if (key.empty() || key.size() > 9 || key.find_first_not_of("0123456789") != std::string::npos) {
        throw_input("{}: expected the number of a token", field.where);
      }
      AddedToken token;
      token.content = field.at("content").string();
      token.special = field.at("special").boolean_or(false);
      token.lstrip = field.at("lstrip").boolean_or(false);
      token.rstrip = field.at("rstrip").boolean_or(false);
      token.single_word = field.at("single_word").boolean_or(false);
      put(std::stoul(key), std::move(token), field.where);
    }
  }
  const JsonField list{&added, what + "/added_tokens.json: $"};
  if (list.present()) {
    for (const auto& [text, id] : list.object().items()) {
      const JsonField field{&id, fmt::format("{}['{}']", list.where, printable(text, 60))};
      AddedToken token;
      token.content = text;
      put(field.number(limit), std::move(token), field.where);
    }
  }
  return out;
}

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_sentencepiece(const SideFile& file, const std::vector<SideFile>& files,
                                                        const std::string& what) {
  const std::string where = what + "/" + file.name;
  const auto parse = [&](const char* name) {
    const SideFile* side = find_side_file(files, name);
    return side == nullptr ? json() : parse_json(text_of(*side), what + "/" + name);
  };
  const json config_json = parse("tokenizer_config.json");
  const JsonField config{&config_json, what + "/tokenizer_config.json: $"};
  const std::string type = config.at("tokenizer_class").string_or("");
  PieceModel model = parse_model(text_of(file), where);
  const bool fairseq = type.starts_with("XLMRoberta") || (type.empty() && file.name == "sentencepiece.bpe.model");
  if (fairseq) renumber_as_fairseq(&model);

  GgufMetadata metadata;
  metadata.append("tokenizer.ggml.model", std::string(model.kind == 2 ? "llama" : "t5"));
  const size_t pieces = model.pieces.size();
  metadata.append("tokenizer.ggml.tokens", GgufArray{std::move(model.pieces)});
  metadata.append("tokenizer.ggml.scores", GgufArray{std::move(model.scores)});
  metadata.append("tokenizer.ggml.token_type", GgufArray{std::move(model.types)});
  metadata.append("tokenizer.ggml.add_space_prefix", model.add_prefix);
  metadata.append("tokenizer.ggml.remove_extra_whitespaces", model.remove_extra);
  if (!model.map.empty()) {
    metadata.append("tokenizer.ggml.precompiled_charsmap",
                    GgufArray{std::vector<uint8_t>(model.map.begin(), model.map.end())});
  }
  const auto id = [&](const char* key, uint64_t value) {
    if (value < pieces) metadata.append(key, static_cast<uint32_t>(value));
  };
  id("tokenizer.ggml.unknown_token_id", model.unk);
  id("tokenizer.ggml.bos_token_id", model.bos);
  id("tokenizer.ggml.eos_token_id", model.eos);
  // What the tokenizer's class puts around a text. Without a class: BOS before BPE, which is Llama, EOS behind Unigram,
  // which is T5.
  const bool bpe = model.kind == 2;
  metadata.append("tokenizer.ggml.add_bos_token", config.at("add_bos_token").boolean_or(bpe || fairseq));
  metadata.append("tokenizer.ggml.add_eos_token", config.at("add_eos_token").boolean_or(!bpe));
  TokenizerParts parts = gguf_tokenizer_parts(metadata, where, true);

  size_t tokens = pieces;
  for (AddedToken& token : added_tokens(config_json, parse("added_tokens.json"), what, 2 * pieces + 65'536)) {
    tokens = std::max(tokens, static_cast<size_t>(token.id) + 1);
    const auto known =
        std::find_if(parts.added.begin(), parts.added.end(), [&](const AddedToken& t) { return t.id == token.id; });
    if (known != parts.added.end()) {
      *known = std::move(token);
    } else {
      parts.added_text.emplace_back(token.id, token.content);
      parts.added.push_back(std::move(token));
    }
  }
  read_tokenizer_config(files, what, tokens, true, &parts);
  return make_pipeline(std::move(parts));
}

}  // namespace occ
