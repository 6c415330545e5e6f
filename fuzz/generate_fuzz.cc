// Opens any model and generates two tokens, as `occ generate -n 2` does, in both kinds of arithmetic. That must
// throw occ::Error or give at most two tokens. Input: model_input.h.
#include <new>

#include "base/check.h"
#include "model/generate.h"
#include "model/language_model.h"
#include "model_input.h"
#include "occ/error.h"

namespace occ {
namespace {

void generate(const std::string& path, Arithmetic arithmetic) {
  try {
    const LanguageModel model = open_language_model(path, {.arithmetic = arithmetic, .observer = {}});
    const size_t most = model.transformer->config().max_context;
    Generator generator(*model.transformer, *model.tokenizer, most == 0 ? 32 : std::min<size_t>(32, most));
    GenerateOptions options;
    options.max_tokens = 2;
    options.sampling.temperature = arithmetic == Arithmetic::kF32 ? 0.0f : 0.7f;
    options.sampling.top_p = 0.95f;
    const Generated g = generator.run(model.tokenizer->encode("the a b."), options, {});
    OCC_CHECK(g.tokens <= 2);
  } catch (const Error&) {
  } catch (const std::bad_alloc&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  with_fuzz_model(data, size, [](const std::filesystem::path& input, const std::filesystem::path&) {
    generate(input.string(), Arithmetic::kInt8);
    generate(input.string(), Arithmetic::kF32);
  });
  return 0;
}

}  // namespace occ
