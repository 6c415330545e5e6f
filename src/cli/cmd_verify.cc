#include <cstdio>
#include <mutex>

#include "base/parallel.h"
#include "cli/cli.h"
#include "container/archive_file.h"

namespace occ {
namespace {

void run(const std::string& input, const Globals& globals) {
  const ThreadLimit limit(globals.threads);
  const ArchiveFile file(input);
  uint64_t total = 0, done = 0;
  for (const TensorInfo& t : file.tensors()) total += t.elements() * sizeof(float);
  const ProgressFn bar = progress_bar(globals);
  std::mutex mutex;
  file.verify([&](uint64_t bytes) {
    const std::lock_guard lock(mutex);
    done += bytes;
    if (bar) bar("verify", done, total);
  });
  end_progress();
  if (!globals.quiet) {
    std::printf("%s: ok, %zu tensors, %s: all checksums match and every value decodes to what the encoder saw\n",
                input.c_str(), file.tensors().size(), human_bytes(static_cast<double>(file.file_bytes())).c_str());
  }
}

}  // namespace

void add_verify(CLI::App& app, const Globals& globals) {
  CLI::App* cmd = app.add_subcommand("verify", "Check every byte of an archive and decode all of it");
  auto input = std::make_shared<std::string>();
  cmd->add_option("file", *input, "Archive")->required();
  cmd->callback([input, &globals] { run(*input, globals); });
}

}  // namespace occ
