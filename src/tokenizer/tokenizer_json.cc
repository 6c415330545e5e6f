// Reads tokenizer.json of Hugging Face's `tokenizers`. Padding and truncation are not applied.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "tensor/side_files.h"
#include "tokenizer/bpe.h"
#include "tokenizer/tokenizer_pipeline.h"
#include "tokenizer/tokenizer_pipeline_json.h"
#include "tokenizer/unigram.h"
#include "tokenizer/wordpiece.h"

namespace occ {
namespace {

using nlohmann::json;

class JsonTokenizer {
 public:
  JsonTokenizer(const std::vector<SideFile>& files, const std::string& what, const std::string& json_name)
      : files_(files), what_(what), json_name_(json_name) {}

  std::unique_ptr<Tokenizer> read(const json& root) {
    const JsonField top{&root, json_name_ + ": $"};
    parts_.where = json_name_;
    top.object();
    read_vocabulary(top.at("model").at("vocab"), top.at("added_tokens"));
    parse_normalizer(top.at("normalizer"), parts_.normalizers);
    const bool byte_chars = parse_pre_tokenizer(top.at("pre_tokenizer"), parts_.pre_tokenizers);
    read_model(top.at("model"));
    parts_.decoder.byte_level = byte_chars && !top.at("decoder").present();
    parse_decoder(top.at("decoder"), parts_.decoder);
    read_added_tokens(top.at("added_tokens"));
    const bool says = parse_post_processor(top.at("post_processor"), parts_.prefix, parts_.suffix);
    for (const auto* ids : {&parts_.prefix, &parts_.suffix}) {
      for (const TokenId id : *ids) check_id(id, top.where + ": post_processor");
    }
    read_tokenizer_config(files_, what_, tokens_, says, &parts_);
    return make_pipeline(std::move(parts_));
  }

 private:
  void check_id(TokenId id, const std::string& where) const {
    if (static_cast<size_t>(id) >= tokens_) throw_input("{}: expected ids below {}, found {}", where, tokens_, id);
  }

  void read_vocabulary(const JsonField& vocab, const JsonField& added) {
    if (vocab.present() && vocab.value->is_array()) return read_scored_vocabulary(vocab, added);
    const json& object = vocab.object();
    const size_t added_count = added.present() ? added.array().size() : 0;
    // Ids may have holes, but a file cannot ask for memory that it does not fill.
    limit_ = 2 * (object.size() + added_count) + 65'536;
    auto& tokens = parts_.vocabulary->tokens;
    std::vector<bool> used;
    for (auto it = object.begin(); it != object.end(); ++it) {
      const JsonField field{&it.value(), fmt::format("{}['{}']", vocab.where, printable(it.key(), 60))};
      const size_t id = field.number(limit_);
      if (id >= tokens.size()) {
        tokens.resize(id + 1);
        used.resize(id + 1);
      }
      if (used[id]) throw_input("{}: id {} has two tokens", field.where, id);
      used[id] = true;
      tokens[id] = it.key();
      parts_.vocabulary->index(static_cast<TokenId>(id));
    }
    tokens_ = tokens.size();
  }

  // Of Unigram: a list of texts with scores, whose places are the ids.
  void read_scored_vocabulary(const JsonField& vocab, const JsonField& added) {
    auto& vocabulary = *parts_.vocabulary;
    const size_t count = vocab.array().size();
    vocabulary.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      const JsonField pair = vocab.item(i);
      if (pair.array().size() != 2 || !(*pair.value)[1].is_number()) pair.wrong("a text and a score");
      vocabulary.tokens.push_back(pair.item(0).string());
      scores_.push_back((*pair.value)[1].get<double>());
      vocabulary.index(static_cast<TokenId>(i));
    }
    tokens_ = count;
    limit_ = 2 * (count + (added.present() ? added.array().size() : 0)) + 65'536;
  }

  void read_unigram(const JsonField& model) {
    if (scores_.empty()) model.at("vocab").wrong("a list of texts with scores");
    UnigramOptions options;
    options.byte_fallback = model.at("byte_fallback").boolean_or(false);
    const JsonField unk = model.at("unk_id");
    if (unk.present()) options.unk = static_cast<TokenId>(unk.number(scores_.size() - 1));
    for (const double score : scores_) {
      if (std::isnan(score)) model.at("vocab").wrong("scores that are numbers");
    }
    parts_.model = std::make_unique<Unigram>(*parts_.vocabulary, std::move(scores_), options);
  }

  void read_model(const JsonField& model) {
    const bool scored = model.at("vocab").present() && model.at("vocab").value->is_array();
    const std::string type = model.at("type").string_or(scored ? "Unigram" : "BPE");
    if (scored != (type == "Unigram")) {
      if (type == "Unigram" || type == "BPE" || type == "WordPiece" || type == "WordLevel") {
        throw_input("{}: expected a list with scores for Unigram and an object for others", model.at("vocab").where);
      }
    }
    if (type == "BPE") {
      read_bpe(model);
    } else if (type == "WordPiece") {
      WordPieceOptions options;
      options.continuation = model.at("continuing_subword_prefix").string_or("##");
      const JsonField longest = model.at("max_input_chars_per_word");
      if (longest.present()) options.max_chars = longest.number(kMaxWordPieceChars);
      const JsonField unk = model.at("unk_token");
      const auto id = parts_.vocabulary->find(unk.string_or("[UNK]"));
      if (!id) unk.wrong("a token of the vocabulary");
      options.unk = *id;
      parts_.model = std::make_unique<WordPiece>(*parts_.vocabulary, options);
    } else if (type == "Unigram") {
      read_unigram(model);
    } else if (type == "WordLevel") {
      parts_.model = std::make_unique<WordLevel>(*parts_.vocabulary,
                                                 parts_.vocabulary->find(model.at("unk_token").string_or("<unk>")));
    } else {
      throw_input("{}: expected BPE, WordPiece, Unigram or WordLevel, found '{}'", model.at("type").where,
                  printable(type));
    }
  }

  void read_bpe(const JsonField& model) {
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (!model.at(key).string_or("").empty()) model.at(key).wrong("none (it is not supported)");
    }
    if (model.at("dropout").present() && *model.at("dropout").value != 0) model.at("dropout").wrong("none");
    BpeOptions options;
    options.byte_fallback = model.at("byte_fallback").boolean_or(false);
    options.fuse_unk = model.at("fuse_unk").boolean_or(false);
    options.ignore_merges = model.at("ignore_merges").boolean_or(false);
    if (model.at("unk_token").present()) {
      options.unk = parts_.vocabulary->find(model.at("unk_token").string());
      if (!options.unk) model.at("unk_token").wrong("a token of the vocabulary");
    }
    auto bpe = std::make_unique<Bpe>(*parts_.vocabulary, options);
    const JsonField merges = model.at("merges");
    bpe->reserve_merges(merges.array().size());
    // Of equal pairs the last one counts there: they are added from the end.
    for (size_t i = merges.array().size(); i-- > 0;) {
      const JsonField merge = merges.item(i);
      std::string left, right;
      if (merge.value->is_string()) {
        const std::string& text = merge.string();
        const size_t space = text.find(' ');
        if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) merge.wrong("two tokens");
        left = text.substr(0, space);
        right = text.substr(space + 1);
      } else {
        if (merge.array().size() != 2) merge.wrong("two tokens");
        left = merge.item(0).string();
        right = merge.item(1).string();
      }
      for (const std::string& token : {left, right, left + right}) {
        if (!parts_.vocabulary->find(token)) {
          throw_input("{}: expected tokens of the vocabulary, found '{}'", merge.where, printable(token));
        }
      }
      if (left.empty() || right.empty()) merge.wrong("two tokens");
      bpe->add_merge(left, right, static_cast<uint32_t>(i));
    }
    if (!options.ignore_merges && bpe->cuts_before_metaspace()) parts_.pre_tokenizers.push_back(cut_before_metaspace());
    parts_.model = std::move(bpe);
  }

  void read_added_tokens(const JsonField& list) {
    if (!list.present()) return;
    size_t bytes = 0;
    for (size_t i = 0; i < list.array().size(); ++i) bytes += list.item(i).at("content").string().size();
    GrowthLimit limit(json_name_, bytes);
    for (size_t i = 0; i < list.array().size(); ++i) {
      const JsonField field = list.item(i);
      AddedToken token;
      token.id = static_cast<TokenId>(field.at("id").number(limit_));
      token.content = field.at("content").string();
      token.special = field.at("special").boolean_or(false);
      token.lstrip = field.at("lstrip").boolean_or(false);
      token.rstrip = field.at("rstrip").boolean_or(false);
      token.single_word = field.at("single_word").boolean_or(false);
      parts_.added_text.emplace_back(token.id, token.content);
      tokens_ = std::max(tokens_, static_cast<size_t>(token.id) + 1);
      if (field.at("normalized").boolean_or(!token.special)) {
        token.content = normalize(parts_, std::move(token.content), limit);
        limit.take(token.content.size());
        parts_.normalized.push_back(std::move(token));
      } else {
        parts_.added.push_back(std::move(token));
      }
    }
  }

  const std::vector<SideFile>& files_;
  const std::string &what_, &json_name_;
  TokenizerParts parts_;
  std::vector<double> scores_;  // of Unigram
  size_t tokens_ = 0, limit_ = 0;
};

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_json(const std::vector<SideFile>& files, const std::string& what,
                                               const std::string& json_name) {
  const SideFile* file = find_side_file(files, "tokenizer.json");
  OCC_CHECK(file != nullptr);
  return tokenizer_from_json_document(parse_json(text_of(*file), json_name), files, what, json_name);
}

std::unique_ptr<Tokenizer> tokenizer_from_json_document(const json& root, const std::vector<SideFile>& files,
                                                        const std::string& what, const std::string& json_name) {
  return JsonTokenizer(files, what, json_name).read(root);
}

}  // namespace occ
