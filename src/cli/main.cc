// The command line program occ. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 corrupt or unsupported input.
#include <cstdio>
#include <new>

#include "base/cache.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/option_name.h"
#include "cli/cli.h"
#include "cli/usage_message.h"
#include "io/json.h"
#include "report/html.h"
#include "simd/simd.h"

namespace occ {
namespace {

#ifdef OCC_WITH_ENCODER
constexpr const char* kBuiltWithout = "";
#else
constexpr const char* kBuiltWithout =
    " (built without the encoder: no compress, compare, analyze, sweep, methods and index)";
#endif

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kFailed:
      return 1;
    case ErrorKind::kUsage:
      return 2;
    case ErrorKind::kInput:
      return 3;
  }
  return 1;
}

int fail(int code, const std::string& message) {
  end_progress();
  std::fprintf(stderr, "error: %s\n", printable(message, 4000).c_str());
  return code;
}

int fail_usage(const CLI::App& app, const std::string& message) {
  fail(exit_code(ErrorKind::kUsage), message);
  const CLI::App* command = chosen_command(app);
  std::fprintf(stderr, "see: occ %s--help\n", command == &app ? "" : (command->get_name() + " ").c_str());
  return exit_code(ErrorKind::kUsage);
}

int run(int argc, char** argv) {
  CLI::App app{
      "occ compresses the weights of language models and other large matrices by choosing the right coordinate system.",
      "occ"};
  app.set_version_flag("--version", std::string("occ " OCC_VERSION) + kBuiltWithout);
  app.require_subcommand(1);
  app.fallthrough();
  Globals globals;
  globals.command = "occ";
  for (int i = 1; i < argc; ++i) globals.command += " " + shell_quoted(argv[i]);
  app.add_option("--threads", globals.threads, "Threads to use (0: all cores)")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096));
  app.add_flag("-q,--quiet", globals.quiet, "No progress and no reports; compare prints only the total");
  app.add_flag("-v,--verbose", globals.verbose, "More detail in tables");
#ifdef OCC_WITH_ENCODER
  add_compress(app, globals);
  add_compare(app, globals);
  add_analyze(app, globals);
  add_sweep(app, globals);
  add_methods(app, globals);
  add_index(app, globals);
#endif
  add_decompress(app, globals);
  add_verify(app, globals);
  add_inspect(app, globals);
  add_evaluate(app, globals);
  add_generate(app, globals);
  add_embed(app, globals);
#ifdef OCC_WITH_SERVER
  add_serve(app, globals);
#endif
  add_tokenize(app, globals);
  add_search(app, globals);
  const std::string exit_codes = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 corrupt or unsupported input.";
  for (CLI::App* command : app.get_subcommands({})) {
    const std::string own = command->get_footer();
    command->footer((own.empty() ? "" : own + "\n") + "Everywhere: --threads N, --quiet, --verbose. " + exit_codes);
  }
  app.footer(exit_codes);
  try {
    apply_simd_limit_from_env();
    check_cache_size();
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // --help or --version
    if (argc == 1) return std::fputs(app.help().c_str(), stderr), 2;
    return fail_usage(app, usage_message(app, e) + (chosen_command(app) == &app ? kBuiltWithout : ""));
  } catch (const Error& e) {
    return e.kind() == ErrorKind::kUsage ? fail_usage(app, e.what()) : fail(exit_code(e.kind()), e.what());
  } catch (const std::bad_alloc&) {
    return fail(1, "out of memory");
  } catch (const std::exception& e) {
    return fail(1, e.what());
  }
  return std::fflush(stdout) == 0 && std::ferror(stdout) == 0 ? 0 : fail(1, "stdout: cannot be written");
}

}  // namespace
}  // namespace occ

int main(int argc, char** argv) {
  occ::install_interrupt_handler();
  occ::set_option_prefix("--");
  try {
    return occ::run(argc, argv);
  } catch (const std::bad_alloc&) {  // while the command line was set up, or while an error was reported
    std::fputs("error: out of memory\n", stderr);
    return 1;
  }
}
