#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/error.h"
#include "base/parallel.h"
#include "cli/cli.h"
#include "server/server.h"

namespace occ {
namespace {

constexpr double kGraceSeconds = 5;  // for answers that are under way when the server shall end

struct ServeArguments {
  std::vector<std::string> models;
  std::string arithmetic = "int8";
  ServerOptions options;
};

int g_signal_pipe[2];

void on_signal(int) {
  const char byte = 0;
  [[maybe_unused]] const ssize_t written = write(g_signal_pipe[1], &byte, 1);
}

// Waits for SIGINT, SIGTERM or SIGHUP (unless that is ignored). A second one ends the process at once.
void wait_for_signal() {
  pollfd wait = {g_signal_pipe[0], POLLIN, 0};
  while (poll(&wait, 1, -1) < 0 && errno == EINTR) {
  }
}

void catch_signals() {
  if (pipe(g_signal_pipe) != 0) throw_failed("no pipe can be made");
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESETHAND;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before = {};
    sigaction(number, &action, &before);
    if (before.sa_handler == SIG_IGN) sigaction(number, &before, nullptr);
  }
  signal(SIGPIPE, SIG_IGN);  // a client that has gone is seen where its answer is written
}

void run(const ServeArguments& a, const Globals& globals) {
  const ThreadLimit limit(globals.threads);
  std::vector<std::unique_ptr<ServedModel>> models;
  for (const std::string& path : a.models) {
    models.push_back(
        open_served_model(path, a.arithmetic == "f32" ? Arithmetic::kF32 : Arithmetic::kInt8, a.options.scheduler));
    const ServedModel& m = *models.back();
    print_source_notes(*m.file, globals);
    if (!globals.quiet) {
      std::fprintf(stderr, "%s: %s, %.1f million weights, %.2f bits per weight\n", printable(m.id).c_str(),
                   m.scheduler ? "language model" : "encoder", static_cast<double>(m.weights) / 1e6,
                   m.bits_per_weight());
    }
  }
  catch_signals();
  ServerOptions options = a.options;
  options.log = globals.verbose && !globals.quiet;
  Server server(std::move(models), options);
  const int port = server.start();
  const bool bracketed = options.host.find(':') != std::string::npos;
  std::printf(bracketed ? "http://[%s]:%d\n" : "http://%s:%d\n", options.host.c_str(), port);
  std::fflush(stdout);
  wait_for_signal();
  if (!globals.quiet) std::fputs("ending\n", stderr);
  server.stop(kGraceSeconds);
}

}  // namespace

void add_serve(CLI::App& app, const Globals& globals) {
  CLI::App* cmd = app.add_subcommand("serve", "Answer requests over HTTP, as the API of OpenAI, with a page to chat");
  auto a = std::make_shared<ServeArguments>();
  ServerOptions& o = a->options;
  cmd->add_option("models", a->models, "Hugging Face folders, .gguf files or archives; the first one is the default")
      ->required();
  cmd->add_option("--host", o.host, "Address to listen on; 0.0.0.0: on all, for other machines (use --api-key then)")
      ->capture_default_str();
  cmd->add_option("--port", o.port, "Port to listen on; 0: any that is free. The address is printed")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  const CLI::Option* key =
      cmd->add_option("--api-key", o.api_key,
                      "Key that clients must send; other users of the machine see it less easily in the environment")
          ->envname("OCC_API_KEY");
  cmd->add_option("--context", o.scheduler.context,
                  "Most tokens of a prompt and its answer (at most what the model takes)")
      ->check(CLI::Range(1, 1 << 30))
      ->capture_default_str();
  cmd->add_option("--parallel", o.scheduler.parallel,
                  "Most answers at once, each with a KV cache of its own; the others wait")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  cmd->add_option("--queue", o.scheduler.queue, "Most answers that wait; for more the status is 429")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  cmd->add_option("--timeout", o.seconds, "Most seconds for a request, waiting included")
      ->check(CLI::Range(1e-3, 1e8))
      ->capture_default_str();
  cmd->add_option("--arithmetic", a->arithmetic, "int8: codes in RAM, activations in int8; f32: weights as floats")
      ->check(CLI::IsMember({"f32", "int8"}))
      ->capture_default_str();
  cmd->callback([a, key, &globals] {
    const bool asked = key->count() > 0 || std::getenv("OCC_API_KEY") != nullptr;
    if (asked && a->options.api_key.empty()) throw_usage("--api-key (or OCC_API_KEY): expected a key, found none");
    run(*a, globals);
  });
}

}  // namespace occ
