#include <cstdio>

#include "base/outputs.h"
#include "cli/cli.h"
#include "cli/run_progress.h"
#include "occ/search.h"

namespace occ {
namespace {

struct IndexArguments {
  std::string input, output;
  std::optional<double> bytes;
  bool json = false;
  CompressOptions options;
};

void run(IndexArguments& a, const Globals& globals) {
  CompressOptions& o = a.options;
  o.threads = globals.threads;
  require_not_input(a.output, a.input);
  CompressReport r;
  {
    RunProgress progress(globals);
    o.progress = [&](const char* phase, uint64_t done, uint64_t total) { progress.report(phase, done, total); };
    r = index_vectors(a.input, a.output, o, a.bytes);
  }
  const TensorReport& t = r.tensors[0];
  const std::string kind = VectorIndex::open({a.output}).kinds()[0];
  if (a.json) {
    return print_json({{"input", a.input},
                       {"output", a.output},
                       {"vectors", t.shape[0]},
                       {"dimension", t.shape[1]},
                       {"recipe", t.recipe.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(t.recipe)},
                       {"searched", kind},
                       {"bytes", t.bytes},
                       {"file_bytes", r.file_bytes},
                       {"nmse", finite_or_null(r.nmse)},
                       {"seconds", r.seconds},
                       {"notes", r.notes}});
  }
  if (globals.quiet) return;
  std::printf("%s -> %s: %llu vectors of dimension %llu, %s bytes (%s a vector), nmse %s, %s s\n", a.input.c_str(),
              a.output.c_str(), static_cast<unsigned long long>(t.shape[0]),
              static_cast<unsigned long long>(t.shape[1]), fmt::format("{}", r.file_bytes).c_str(),
              number(static_cast<double>(r.file_bytes) / static_cast<double>(t.shape[0])).c_str(),
              number(r.nmse).c_str(), number(r.seconds, 3).c_str());
  std::printf("%s; searched as %s\n", t.recipe.empty() ? ("kept: " + t.note).c_str() : t.recipe.c_str(), kind.c_str());
  for (const std::string& note : r.notes) print_note(note);
}

}  // namespace

void add_index(CLI::App& app, const Globals& globals) {
  CLI::App* cmd = app.add_subcommand("index", "Compress vectors to an archive for occ search");
  auto a = std::make_shared<IndexArguments>();
  a->options.method = "opq";
  cmd->add_option("vectors", a->input, "A matrix [vectors, dimension]: .npy, .fvecs, .bvecs, .safetensors, .occ, ...")
      ->required();
  cmd->add_option("-o,--output", a->output, "Archive to write")->required();
  auto* method =
      cmd->add_option("--method", a->options.method, "Method, name(params), see 'occ methods'")->capture_default_str();
  auto* bits = cmd->add_option("--bits", a->options.bits,
                               "Bits per value: with pq, opq and lopq of the codes alone, codebooks come on top; else "
                               "as in occ compress (default 2)");
  auto* bytes = cmd->add_option("--bytes", a->bytes, "Bytes per vector in place of bits per value")->excludes(bits);
  auto* recipe = cmd->add_option("--recipe", a->options.recipe, "Explicit pipeline in place of a method and a size")
                     ->excludes(method)
                     ->excludes(bits)
                     ->excludes(bytes);
  cmd->add_option(
         "--codebooks", a->options.codebooks,
         "Archive of pq, opq or lopq: its recipe, codebooks and rotations are taken and nothing is fitted, for "
         "vectors that come later")
      ->excludes(method)
      ->excludes(bits)
      ->excludes(bytes)
      ->excludes(recipe);
  cmd->add_option("--effort", a->options.effort, "1 (quick) to 9, as in occ compress")
      ->capture_default_str()
      ->check(CLI::Range(1, 9));
  cmd->add_option("--seed", a->options.seed, "Seed of everything random")->capture_default_str();
  cmd->add_flag("--force", a->options.force, "Replace an existing output");
  cmd->add_flag("--json", a->json, "One JSON document on stdout");
  cmd->callback([a, &globals] { run(*a, globals); });
}

}  // namespace occ
