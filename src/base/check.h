// OCC_CHECK: a condition that only a bug in this program can break. Input errors throw occ::Error instead.
#pragma once

#include <cstdio>
#include <cstdlib>

#define OCC_CHECK(condition)                                                                  \
  do {                                                                                        \
    if (!(condition)) [[unlikely]] {                                                          \
      std::fprintf(stderr, "bug: %s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                           \
    }                                                                                         \
  } while (false)
