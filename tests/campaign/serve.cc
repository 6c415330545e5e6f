// Part of occ_serve, which is `occ` that runs many command lines, for the campaign (README.md). A run is a fork of this
// process, which costs a tenth of starting the program. The linker puts this main in place of that of `occ` (--wrap).
//
// Each line of stdin has the arguments of one run with bytes 0x1f between them. A run writes its stdout and stderr to the
// files "out" and "err" of the working directory. The answer on stdout is one line "STATUS SIGNAL CPU_MS WALL_MS". A run
// is killed after 10 s of computing or 120 s on the clock, and it gets at most 4 GB of memory.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <string>
#include <vector>

extern "C" int __real_main(int argc, char** argv);  // NOLINT(bugprone-reserved-identifier): the linker's name

namespace {

constexpr rlim_t kComputeSeconds = 10, kMemory = rlim_t{4} << 30;
constexpr time_t kClockSeconds = 120;

void redirect(const char* name, int fd) {
  const int file = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (file < 0 || dup2(file, fd) < 0) _exit(125);
  close(file);
}

[[noreturn]] void run(std::string line) {
  const int nothing = open("/dev/null", O_RDONLY);
  dup2(nothing, STDIN_FILENO);
  redirect("out", STDOUT_FILENO);
  redirect("err", STDERR_FILENO);
  const rlimit compute{kComputeSeconds, kComputeSeconds}, memory{kMemory, kMemory}, no_core{0, 0};
  setrlimit(RLIMIT_CPU, &compute);
  setrlimit(RLIMIT_AS, &memory);
  setrlimit(RLIMIT_CORE, &no_core);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  std::vector<char*> arguments;
  static char name[] = "occ";
  arguments.push_back(name);
  for (size_t at = 0; at < line.size();) {
    const size_t end = std::min(line.find('\x1f', at), line.size());
    if (end < line.size()) line[end] = '\0';
    arguments.push_back(line.data() + at);
    at = end + 1;
  }
  const int argc = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);
  std::exit(__real_main(argc, arguments.data()));
}

}  // namespace

extern "C" int __wrap_main(int, char**) {  // NOLINT(bugprone-reserved-identifier)
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, nullptr);
  for (std::string line; std::getline(std::cin, line);) {
    const auto start = std::chrono::steady_clock::now();
    const pid_t pid = fork();
    if (pid < 0) return 1;
    if (pid == 0) run(line);
    const timespec limit{kClockSeconds, 0};
    if (sigtimedwait(&child, nullptr, &limit) < 0) kill(pid, SIGKILL);
    int status = 0;
    rusage used = {};
    wait4(pid, &status, 0, &used);
    const long cpu =
        (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
    const auto wall = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
    std::printf("%d %d %ld %ld\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                WIFSIGNALED(status) ? WTERMSIG(status) : 0, cpu, static_cast<long>(wall.count()));
    std::fflush(stdout);
  }
  return 0;
}
