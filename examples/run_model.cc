// Continues a prompt straight from a compressed model: link with occ::model (no BLAS).
#include <occ/model.h>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: run_model MODEL PROMPT\n"), 2;
  try {
    const occ::Model model = occ::Model::open(argv[1]);
    occ::ContinueOptions options;
    options.max_tokens = 64;
    std::printf("%s", argv[2]);
    model.continue_text(argv[2], options, [](std::string_view text) {
      std::fwrite(text.data(), 1, text.size(), stdout);
      std::fflush(stdout);
    });
    std::printf("\n");
  } catch (const occ::Error& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 1;
  }
}
