#include "base/interrupt.h"

#include <signal.h>

#include <atomic>

#include "base/error.h"

namespace occ {
namespace {

std::atomic<bool> g_interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void on_signal(int) { g_interrupted.store(true, std::memory_order_relaxed); }

}  // namespace

void install_interrupt_handler() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESETHAND;  // the second signal has the default effect
  for (const int number : {SIGINT, SIGTERM, SIGXCPU, SIGHUP}) {
    struct sigaction before = {};  // SIGHUP is ignored under nohup and must stay so
    sigaction(number, &action, &before);
    if (number == SIGHUP && before.sa_handler == SIG_IGN) sigaction(number, &before, nullptr);
  }
  // A write beyond the file size limit then fails with an error, as on a full disk.
  ::signal(SIGXFSZ, SIG_IGN);
}

void set_interrupted(bool value) { g_interrupted.store(value, std::memory_order_relaxed); }

bool interrupted() { return g_interrupted.load(std::memory_order_relaxed); }

void throw_if_interrupted() {
  if (interrupted()) [[unlikely]]
    throw_failed("interrupted");
}

}  // namespace occ
