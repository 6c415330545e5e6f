// The main function of the experiments: it calls run(argc, argv) and prints errors as one line on stderr.
#pragma once

#include <cstdio>
#include <exception>

namespace occ {

inline int experiment_main(int (*run)(int, char**), int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 1;
  }
}

}  // namespace occ
