// MEASURE: multiple-choice accuracy from log-likelihoods, as lm-evaluation-harness does it.
//
// A task is a file with one JSON object a line, of one of three forms:
//   {"query", "choices": [...], "gold"}             which choice is likeliest after "<query>\nAnswer:" (arc, piqa)
//   {"context_options": [...], "continuation", "gold"}  after which context is the continuation likeliest (winogrande)
//   {"context", "continuation"}                     is the continuation the likeliest text, token by token (lambada)
// acc: the greatest sum of log-likelihoods is the gold one; acc_norm: the greatest sum per byte of the choice. For the
// last two forms both are the same.
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
  std::string context, continuation;  // the continuation starts with its separating space
  double bytes = 1;                   // what acc_norm divides by
};
struct TaskItem {
  std::vector<TaskChoice> choices;  // one: scored by greedy match
  size_t gold = 0;
};
struct Task {
  std::string name;  // of the file, without extension
  std::vector<TaskItem> items;
};

// Input error that names file and line. limit: the first so many items, 0: all.
Task read_task(const std::filesystem::path& path, size_t limit = 0);

struct TaskResult {
  std::string name;
  double acc = 0, acc_stderr = 0, acc_norm = 0, acc_norm_stderr = 0;
  uint64_t n = 0;
};

TaskResult measure_task(const Transformer& model, const Tokenizer& tokenizer, const Task& task,
                        const std::function<void(uint64_t done, uint64_t total)>& progress = {});

}  // namespace occ
