// The public API of occ/model.h.
#include "occ/model.h"

#include <algorithm>

#include "model/generate.h"
#include "model/language_model.h"

namespace occ {

struct Model::Impl {
  LanguageModel model;
  size_t context = 0;
};

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

Model Model::open(const std::filesystem::path& path, const ModelOptions& options) {
  auto impl = std::make_unique<Impl>();
  TransformerOptions how;
  how.arithmetic = options.f32 ? Arithmetic::kF32 : Arithmetic::kInt8;
  impl->model = open_language_model(path.string(), how);
  const size_t most = impl->model.transformer->config().max_context;
  impl->context = most == 0 ? options.context : std::min(options.context, most);
  return Model(std::move(impl));
}

size_t Model::vocab_size() const { return impl_->model.transformer->config().vocab_size; }
uint64_t Model::weight_bytes() const { return impl_->model.transformer->weight_bytes(); }

std::vector<int32_t> Model::tokenize(std::string_view text, bool special) const {
  return impl_->model.tokenizer->encode(text, {.add_special = special, .parse_special = special});
}

std::string Model::detokenize(std::span<const int32_t> tokens) const { return impl_->model.tokenizer->decode(tokens); }

Matrix<float> Model::logits(std::span<const int32_t> tokens) const {
  const Transformer& transformer = *impl_->model.transformer;
  const std::unique_ptr<KvCache> cache = transformer.make_cache(tokens.size());
  const Sequence sequence{tokens, cache.get()};
  const Matrix<float> hidden = transformer.hidden({&sequence, 1});
  Matrix<float> out = Matrix<float>::uninitialized(tokens.size(), transformer.config().vocab_size);
  transformer.logits(hidden.view(), out.view());
  return out;
}

std::string Model::continue_text(std::string_view prompt, const ContinueOptions& options,
                                 const std::function<void(std::string_view)>& on_text) const {
  Generator generator(*impl_->model.transformer, *impl_->model.tokenizer, impl_->context);
  GenerateOptions how;
  how.max_tokens = options.max_tokens;
  how.sampling = {options.temperature, options.top_k, options.top_p, options.seed};
  how.stop = options.stop;
  return generator.run(impl_->model.tokenizer->encode(prompt), how, on_text).text;
}

}  // namespace occ
