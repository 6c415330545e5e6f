// Measures the accuracy on multiple-choice tasks from log-likelihoods, in the same way as lm-evaluation-harness.
//
// A task is a file with one JSON object on each line. An object has one of three forms, and asks for:
//   {"query", "choices": [...], "gold"}                 the most likely choice after "<query>\nAnswer:" (arc, piqa)
//   {"context_options": [...], "continuation", "gold"}  the context that makes the continuation likeliest (winogrande)
//   {"context", "continuation"}                         whether every token of the continuation is the most likely one
//                                                       (lambada)
// `gold` is the index of the right answer. acc is the share of items where the right answer has the greatest sum of the
// log-likelihoods of its tokens; acc_norm is the same with sums that are divided by the bytes of the choice. For the
// last two forms acc and acc_norm are equal.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "model/transformer.h"
#include "tokenizer/tokenizer.h"

namespace occ {

struct TaskChoice {
  std::string context, continuation;  // the continuation starts with the space that separates it
  double bytes = 1;                   // acc_norm divides the log-likelihood by this
};
struct TaskItem {
  std::vector<TaskChoice> choices;  // an item with one choice is right if each of its tokens is the most likely one
  size_t gold = 0;
};
struct Task {
  std::string name;  // name of the file without extension
  std::vector<TaskItem> items;
};

// Reads the first `limit` items of a task file (0: all of them). Input error that names file and line.
Task read_task(const std::filesystem::path& path, size_t limit = 0);

struct TaskResult {
  std::string name;
  double acc = 0, acc_stderr = 0, acc_norm = 0, acc_norm_stderr = 0;
  uint64_t n = 0;
};

// Runs the model on all items. An item that is longer than the context of the model loses its first tokens. Input error
// if an item has fewer than two tokens or if logits are not finite. `progress` counts items.
TaskResult measure_task(const Transformer& model, const Tokenizer& tokenizer, const Task& task,
                        const std::function<void(uint64_t done, uint64_t total)>& progress = {});

}  // namespace occ
