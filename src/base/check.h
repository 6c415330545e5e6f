// OCC_CHECK(condition) aborts the program unless the condition holds. It is for conditions that only a bug of this
// program can break. Errors in the input throw occ::Error instead.
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
