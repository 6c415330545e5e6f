// Running language models and encoders.
#include <mutex>

#include "caller.h"
#include "chat/chat.h"
#include "container/archive_file.h"
#include "model/embed.h"
#include "model/generate.h"
#include "model/language_model.h"
#include "model/sentence_modules.h"
#include "module.h"

namespace nb = nanobind;

namespace occ::python {
namespace {

TransformerOptions options_of(bool f32) {
  TransformerOptions options;
  options.arithmetic = f32 ? Arithmetic::kF32 : Arithmetic::kInt8;
  return options;
}

// A causal model with the conversation in its KV cache.
struct Causal {
  LanguageModel model;
  std::unique_ptr<Generator> generator;
  std::mutex one_answer;  // at a time, because the KV cache is one conversation's

  Causal(const std::filesystem::path& path, bool f32, size_t context) {
    Caller().run([&] { model = open_language_model(path.string(), options_of(f32)); });
    const size_t most = model.transformer->config().max_context;
    generator = std::make_unique<Generator>(*model.transformer, *model.tokenizer,
                                            most == 0 ? context : std::min(context, most));
  }
};

const char* end_name(Generated::End end) {
  switch (end) {
    case Generated::End::kLength:
      return "length";
    case Generated::End::kContext:
      return "context";
    case Generated::End::kEndOfText:
    case Generated::End::kStop:
      break;
  }
  return "stop";
}

// Tokens are bytes: an answer may end inside a character, which becomes U+FFFD.
nb::object text_of(std::string_view text) {
  PyObject* out = PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace");
  if (out == nullptr) throw nb::python_error();
  return nb::steal<nb::object>(out);
}

nb::dict generate(Causal& c, const std::vector<TokenId>& prompt, size_t max_tokens, const SamplingOptions& sampling,
                  std::vector<std::string> stop, const nb::object& on_text) {
  GenerateOptions options;
  options.max_tokens = max_tokens;
  options.sampling = sampling;
  options.stop = std::move(stop);
  Caller caller;
  std::function<void(std::string_view)> report;
  if (!on_text.is_none()) {
    report = [&](std::string_view piece) { caller.call([&] { on_text(text_of(piece)); }); };
  }
  Generated result;
  caller.run([&] {
    const std::lock_guard lock(c.one_answer);
    result = c.generator->run(prompt, options, report);
  });
  nb::dict out;
  out["text"] = text_of(result.text);
  out["finish_reason"] = end_name(result.end);
  out["prompt_tokens"] = result.prompt_tokens;
  out["tokens"] = result.tokens;
  out["prompt_seconds"] = result.prompt_seconds;
  out["seconds"] = result.seconds;
  return out;
}

Array logits(const Causal& c, const std::vector<TokenId>& tokens) {
  const Transformer& transformer = *c.model.transformer;
  Matrix<float> out = Matrix<float>::uninitialized(tokens.size(), transformer.config().vocab_size);
  Caller().run([&] {
    const std::unique_ptr<KvCache> cache = transformer.make_cache(tokens.size());
    const Sequence sequence{tokens, cache.get()};
    const Matrix<float> hidden = transformer.hidden({&sequence, 1});
    transformer.logits(hidden.view(), out.view());
  });
  return to_array(std::move(out));
}

// Vectors of texts [texts, width], with a prompt that is given or has a name among those of the model.
Array embed(const Encoder& encoder, const Tokenizer& tokenizer, const TensorFile& file,
            const std::vector<std::string>& texts, const std::optional<std::string>& prompt,
            const std::optional<std::string>& prompt_name, bool normalize) {
  Matrix<float> out;
  Caller().run([&] {
    EmbedOptions options;
    options.prompt = prompt ? *prompt : find_prompt(file, prompt_name);
    options.normalize = normalize;
    out = embed_texts(encoder, tokenizer, texts, options);
  });
  return to_array(std::move(out));
}

struct TextEncoder {
  EncoderModel model;
  TextEncoder(const std::filesystem::path& path, bool f32) {
    Caller().run([&] { model = open_encoder(path.string(), options_of(f32)); });
  }
};

// What causal models and encoders have in common.
template <class T>
void add_common(nb::class_<T>* c) {
  c->def("tokenize", [](const T& self, std::string_view text, bool special) {
     return self.model.tokenizer->encode(text, {.add_special = special, .parse_special = special});
   }).def("detokenize", [](const T& self, const std::vector<TokenId>& tokens) {
    return text_of(self.model.tokenizer->decode(tokens));
  });
}

}  // namespace

void add_models(nb::module_& m) {
  nb::class_<Causal> causal(m, "Causal");
  causal.def(nb::init<const std::filesystem::path&, bool, size_t>())
      .def(
          "generate",
          [](Causal& c, const std::vector<TokenId>& prompt, size_t max_tokens, float temperature, size_t top_k,
             float top_p, uint64_t seed, std::vector<std::string> stop, const nb::object& on_text) {
            return generate(c, prompt, max_tokens, {temperature, top_k, top_p, seed}, std::move(stop), on_text);
          },
          nb::arg("prompt"), nb::arg("max_tokens"), nb::arg("temperature"), nb::arg("top_k"), nb::arg("top_p"),
          nb::arg("seed"), nb::arg("stop"), nb::arg("on_text").none())
      .def("logits", &logits)
      .def(
          "embed",
          [](const Causal& c, const std::vector<std::string>& texts, const std::optional<std::string>& prompt,
             const std::optional<std::string>& prompt_name, bool normalize) {
            const auto encoder = make_causal_encoder(*c.model.transformer, *c.model.file);
            return embed(*encoder, *c.model.tokenizer, *c.model.file, texts, prompt, prompt_name, normalize);
          },
          nb::arg("texts"), nb::arg("prompt").none(), nb::arg("prompt_name").none(), nb::arg("normalize"))
      .def("chat",
           [](const Causal& c, const std::string& json) {
             const Tokenizer& tokenizer = *c.model.tokenizer;
             const std::string text = render_chat(tokenizer, json, "messages", {});
             return std::pair(text, tokenizer.encode(text, {.add_special = false, .parse_special = true}));
           })
      .def_prop_ro("vocab_size", [](const Causal& c) { return c.model.transformer->config().vocab_size; })
      .def_prop_ro("context", [](const Causal& c) { return c.generator->capacity(); })
      .def_prop_ro("weight_bytes", [](const Causal& c) { return c.model.transformer->weight_bytes(); });
  add_common(&causal);
  nb::class_<TextEncoder> encoder(m, "Encoder");
  encoder.def(nb::init<const std::filesystem::path&, bool>())
      .def(
          "embed",
          [](const TextEncoder& e, const std::vector<std::string>& texts, const std::optional<std::string>& prompt,
             const std::optional<std::string>& prompt_name, bool normalize) {
            return embed(*e.model.encoder, *e.model.tokenizer, *e.model.file, texts, prompt, prompt_name, normalize);
          },
          nb::arg("texts"), nb::arg("prompt").none(), nb::arg("prompt_name").none(), nb::arg("normalize"))
      .def_prop_ro("weight_bytes", [](const TextEncoder& e) { return e.model.encoder->weight_bytes(); });
  add_common(&encoder);
}

}  // namespace occ::python
