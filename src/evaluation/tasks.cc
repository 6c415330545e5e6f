#include "evaluation/tasks.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "evaluation/perplexity.h"
#include "io/json.h"

namespace occ {
namespace {

using nlohmann::json;

constexpr size_t kTaskBatchTokens = 2048;

std::string text_of(const json& value, const std::string& where, const char* key) {
  if (!value.is_string()) throw_input("{}: '{}': expected a text", where, key);
  return value.get<std::string>();
}

std::vector<std::string> texts_of(const json& line, const std::string& where, const char* key) {
  const json& list = line.at(key);
  if (!list.is_array() || list.size() < 2) throw_input("{}: '{}': expected a list of two texts or more", where, key);
  std::vector<std::string> out;
  for (const json& item : list) out.push_back(text_of(item, where, key));
  return out;
}

std::string without_end_space(std::string text) {
  text.erase(text.find_last_not_of(" \n\t") + 1);
  return text;
}

TaskItem parse_item(const json& line, const std::string& where) {
  TaskItem item;
  if (line.contains("query") && line.contains("choices")) {
    const std::string context = without_end_space(text_of(line["query"], where, "query")) + "\nAnswer:";
    for (const std::string& choice : texts_of(line, where, "choices")) {
      item.choices.push_back({context, fmt::format(" {}", choice), std::max(1.0, static_cast<double>(choice.size()))});
    }
  } else if (line.contains("context_options") && line.contains("continuation")) {
    const std::string continuation = fmt::format(" {}", text_of(line["continuation"], where, "continuation"));
    for (const std::string& context : texts_of(line, where, "context_options")) {
      item.choices.push_back({without_end_space(context), continuation});
    }
  } else if (line.contains("context") && line.contains("continuation")) {
    item.choices.push_back({without_end_space(text_of(line["context"], where, "context")),
                            fmt::format(" {}", text_of(line["continuation"], where, "continuation"))});
    return item;
  } else {
    throw_input(
        "{}: expected the keys query and choices, context_options and continuation, or context and continuation",
        where);
  }
  if (!line.contains("gold") || !line["gold"].is_number_unsigned() ||
      line["gold"].get<uint64_t>() >= item.choices.size()) {
    throw_input("{}: 'gold': expected the number of a choice below {}", where, item.choices.size());
  }
  item.gold = line["gold"].get<size_t>();
  return item;
}

// The tokens of one choice with its context. The tokens from index `scored` on belong to the continuation.
struct Encoded {
  std::vector<TokenId> tokens;
  size_t scored = 0;
};

Encoded encode_choice(const Tokenizer& tokenizer, const TaskChoice& choice, size_t max_context) {
  const EncodeOptions plain{.add_special = true, .parse_special = false};
  Encoded out;
  // What the tokenizer puts behind a text belongs neither to the context nor to the continuation.
  const size_t behind = tokenizer.suffix_size();
  out.tokens = tokenizer.encode(choice.context + choice.continuation, plain);
  out.tokens.resize(out.tokens.size() - std::min(behind, out.tokens.size()));
  if (out.tokens.size() < 2) {
    throw_input("a task item has no two tokens to score: '{:.60}'", printable(choice.context + choice.continuation));
  }
  out.scored = std::min(tokenizer.encode(choice.context, plain).size() - behind, out.tokens.size() - 1);
  out.scored = std::max<size_t>(out.scored, 1);
  if (max_context != 0 && out.tokens.size() > max_context) {
    const size_t cut = out.tokens.size() - max_context;
    out.tokens.erase(out.tokens.begin(), out.tokens.begin() + static_cast<ptrdiff_t>(cut));
    out.scored = std::max<size_t>(1, out.scored > cut ? out.scored - cut : 1);
  }
  return out;
}

struct Score {
  double log_likelihood = 0;
  bool greedy = true;  // every token was the most likely one
};

// Items that run through the model together. Tokens with which all choices of an item begin go through the model only
// once.
class Batch {
 public:
  Batch(const Transformer& model, const Tokenizer& tokenizer) : model_(model), tokenizer_(tokenizer) {}

  void add(const TaskItem& item) {
    Entry entry;
    size_t longest = 0;
    for (const TaskChoice& choice : item.choices) {
      entry.choices.push_back(encode_choice(tokenizer_, choice, model_.config().max_context));
      longest = std::max(longest, entry.choices.back().tokens.size());
    }
    const std::vector<TokenId>& first = entry.choices[0].tokens;
    entry.shared = first.size();
    for (const Encoded& c : entry.choices) {
      const auto differs = std::mismatch(first.begin(), first.end(), c.tokens.begin(), c.tokens.end()).first;
      // The last token before the scored ones is not shared, because the logits at its position are needed.
      entry.shared = std::min({entry.shared, static_cast<size_t>(differs - first.begin()), c.scored - 1});
    }
    entry.cache = model_.make_cache(longest);
    tokens_ += longest;
    entries_.push_back(std::move(entry));
  }
  bool full() const { return tokens_ >= kTaskBatchTokens; }
  bool empty() const { return entries_.empty(); }

  // Returns the scores as [item][choice] and leaves the batch empty.
  std::vector<std::vector<Score>> run() {
    std::vector<Sequence> sequences;
    for (Entry& e : entries_) {
      if (e.shared != 0) sequences.push_back({std::span(e.choices[0].tokens).first(e.shared), e.cache.get()});
    }
    if (!sequences.empty()) model_.hidden(sequences);
    std::vector<std::vector<Score>> scores(entries_.size());
    for (size_t k = 0;; ++k) {
      sequences.clear();
      std::vector<size_t> who;
      for (size_t i = 0; i < entries_.size(); ++i) {
        if (k >= entries_[i].choices.size()) continue;
        entries_[i].cache->truncate(entries_[i].shared);
        sequences.push_back(
            {std::span(entries_[i].choices[k].tokens).subspan(entries_[i].shared), entries_[i].cache.get()});
        who.push_back(i);
      }
      if (who.empty()) break;
      score_choice(k, who, model_.hidden(sequences), &scores);
    }
    entries_.clear();
    tokens_ = 0;
    return scores;
  }

 private:
  struct Entry {
    std::vector<Encoded> choices;
    size_t shared = 0;
    std::unique_ptr<KvCache> cache;
  };

  void score_choice(size_t k, const std::vector<size_t>& who, const Matrix<float>& hidden,
                    std::vector<std::vector<Score>>* scores) const {
    size_t row = 0;
    for (const size_t i : who) {
      const Entry& e = entries_[i];
      const Encoded& c = e.choices[k];
      const size_t first = c.scored - 1 - e.shared, count = c.tokens.size() - c.scored;
      Matrix<float> logits = Matrix<float>::uninitialized(count, model_.config().vocab_size);
      model_.logits(hidden.view().row_range(row + first, count), logits.view());
      std::vector<double> terms(count);
      std::vector<uint8_t> greedy(count);
      parallel_for(count, [&](size_t t) {
        const std::span<const float> values(logits.row(t), logits.cols());
        const auto token = static_cast<size_t>(c.tokens[c.scored + t]);
        terms[t] = static_cast<double>(values[token]) - finite_log_partition(values);
        greedy[t] = std::max_element(values.begin(), values.end()) - values.begin() == static_cast<ptrdiff_t>(token);
      });
      Score score;
      for (const double term : terms) score.log_likelihood += term;
      score.greedy = std::find(greedy.begin(), greedy.end(), 0) == greedy.end();
      (*scores)[i].push_back(score);
      row += c.tokens.size() - e.shared;
    }
  }

  const Transformer& model_;
  const Tokenizer& tokenizer_;
  std::vector<Entry> entries_;
  size_t tokens_ = 0;
};

size_t best(const std::vector<double>& values) {
  return static_cast<size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

}  // namespace

Task read_task(const std::filesystem::path& path, size_t limit) {
  const Bytes bytes = read_file(path);
  std::istringstream in(std::string(bytes.begin(), bytes.end()));
  Task task;
  task.name = path.stem().string();
  std::string line;
  for (size_t number = 1; std::getline(in, line) && (limit == 0 || task.items.size() < limit); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = fmt::format("{}: line {}", path.string(), number);
    const json parsed = parse_json(line, where);
    if (!parsed.is_object()) throw_input("{}: expected a JSON object", where);
    task.items.push_back(parse_item(parsed, where));
  }
  if (task.items.empty()) throw_input("{}: expected one JSON object a line, found none", path.string());
  return task;
}

TaskResult measure_task(const Transformer& model, const Tokenizer& tokenizer, const Task& task,
                        const std::function<void(uint64_t, uint64_t)>& progress) {
  std::vector<double> right, right_norm;
  Batch batch(model, tokenizer);
  size_t first = 0;
  for (size_t i = 0; i < task.items.size(); ++i) {
    batch.add(task.items[i]);
    if (!batch.full() && i + 1 < task.items.size()) continue;
    const auto scores = batch.run();
    for (size_t k = 0; k < scores.size(); ++k) {
      const TaskItem& item = task.items[first + k];
      if (item.choices.size() == 1) {
        right.push_back(scores[k][0].greedy);
        right_norm.push_back(scores[k][0].greedy);
        continue;
      }
      std::vector<double> sums, per_byte;
      for (size_t c = 0; c < item.choices.size(); ++c) {
        sums.push_back(scores[k][c].log_likelihood);
        per_byte.push_back(sums[c] / item.choices[c].bytes);
      }
      right.push_back(best(sums) == item.gold);
      right_norm.push_back(best(per_byte) == item.gold);
    }
    first = i + 1;
    if (progress) progress(first, task.items.size());
  }
  const Mean acc = mean_of(right), norm = mean_of(right_norm);
  return {task.name, acc.mean, acc.standard_error, norm.mean, norm.standard_error, right.size()};
}

}  // namespace occ
