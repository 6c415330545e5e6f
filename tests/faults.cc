// Part of occ_faults, which is `occ` whose calls fail on demand (cmake/tests.cmake). OCC_FAULT=KIND:N lets the N-th call
// of a kind fail, counted over all threads from where a command begins to work, OCC_FAULT=KIND:N+ that call and all
// later ones, KIND:0 none. The number of calls stands at the end of stderr. Kinds: new (operator new, aligned_alloc),
// open, read, write, sync, rename, task (an item of a parallel loop). `occ` itself knows nothing of this: the linker
// puts these functions in place of those of the same name (--wrap).
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "base/error.h"

extern "C" char __executable_start, etext;  // by the linker: where the program's code begins and ends

namespace {

// Nothing here allocates.
struct Fault {
  const char* kind = "";
  size_t kind_length = 0;
  uint64_t at = 0;
  bool later_too = false;
  std::atomic<bool> armed{false};
  std::atomic<uint64_t> calls{0};

  void arm() {
    if (armed) return;
    kind = std::getenv("OCC_FAULT");
    const char* colon = kind == nullptr ? nullptr : std::strchr(kind, ':');
    if (colon == nullptr) return;
    kind_length = static_cast<size_t>(colon - kind);
    char* end = nullptr;
    at = std::strtoull(colon + 1, &end, 10);
    later_too = *end == '+';
    armed = true;
  }
  bool strikes(const char* which) {
    if (!armed.load(std::memory_order_relaxed)) return false;
    if (std::strlen(which) != kind_length || std::strncmp(which, kind, kind_length) != 0) return false;
    const uint64_t n = ++calls;
    return at != 0 && (n == at || (later_too && n > at));
  }
  ~Fault() {
    if (armed.exchange(false)) std::fprintf(stderr, "calls: %llu\n", static_cast<unsigned long long>(calls.load()));
  }
};
Fault g_fault;

bool fails(const char* which, int error) {
  if (!g_fault.strikes(which)) return false;
  errno = error;
  return true;
}

// Only calls from this program, and not for a few bytes: functions of libstdc++ that allocate may be noexcept, as those
// of iterators over folders, and nlohmann-json allocates in destructors. Where that fails the process ends.
constexpr size_t kFewBytes = 256;

void* allocate(size_t bytes, const void* caller) {
  const bool ours = bytes >= kFewBytes && caller >= &__executable_start && caller < &etext;
  if (ours && g_fault.strikes("new")) throw std::bad_alloc();
  void* data = std::malloc(bytes == 0 ? 1 : bytes);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}

}  // namespace

void* operator new(size_t bytes) { return allocate(bytes, __builtin_return_address(0)); }
void* operator new[](size_t bytes) { return allocate(bytes, __builtin_return_address(0)); }
void operator delete(void* data) noexcept { std::free(data); }
void operator delete[](void* data) noexcept { std::free(data); }
void operator delete(void* data, size_t) noexcept { std::free(data); }
void operator delete[](void* data, size_t) noexcept { std::free(data); }

extern "C" {

void* __real_aligned_alloc(size_t alignment, size_t bytes);
void* __wrap_aligned_alloc(size_t alignment, size_t bytes) {
  return fails("new", ENOMEM) ? nullptr : __real_aligned_alloc(alignment, bytes);
}

int __real_open(const char* path, int flags, ...);
int __wrap_open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = va_arg(arguments, mode_t);  // unused, whatever it is, where nothing is created
  va_end(arguments);
  return fails("open", EMFILE) ? -1 : __real_open(path, flags, mode);
}

ssize_t __real_pread(int fd, void* data, size_t count, off_t offset);
ssize_t __wrap_pread(int fd, void* data, size_t count, off_t offset) {
  return fails("read", EIO) ? -1 : __real_pread(fd, data, count, offset);
}

ssize_t __real_pwrite(int fd, const void* data, size_t count, off_t offset);
ssize_t __wrap_pwrite(int fd, const void* data, size_t count, off_t offset) {
  return fails("write", ENOSPC) ? -1 : __real_pwrite(fd, data, count, offset);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd) { return fails("sync", EIO) ? -1 : __real_fsync(fd); }

int __real_rename(const char* from, const char* to);
int __wrap_rename(const char* from, const char* to) { return fails("rename", EACCES) ? -1 : __real_rename(from, to); }

// occ::ThreadLimit's constructor, with which every command begins to work. The parser of the command line is not
// tested: some of its functions that allocate are noexcept.
void __real__ZN3occ11ThreadLimitC1Em(void* self, size_t threads);
void __wrap__ZN3occ11ThreadLimitC1Em(void* self, size_t threads) {
  g_fault.arm();
  __real__ZN3occ11ThreadLimitC1Em(self, threads);
}

// occ::throw_if_interrupted(), called before every item of a parallel loop.
void __real__ZN3occ20throw_if_interruptedEv();
void __wrap__ZN3occ20throw_if_interruptedEv() {
  if (g_fault.strikes("task")) occ::throw_failed("fault: task");
  __real__ZN3occ20throw_if_interruptedEv();
}
}
