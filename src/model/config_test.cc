#include "model/config.h"

#include <nlohmann/json.hpp>

#include "container/archive_file.h"
#include "io/expect_error_for_test.h"
#include "io/gguf_test_builder.h"
#include "model/tiny_models_for_test.h"
#include "occ/compress.h"

namespace occ {
namespace {

using nlohmann::json;

json config_of(const std::string& model) {
  return json::parse(read_text_for_test(tiny_models_folder() / model / "plain.config.json"));
}

ModelConfig read_changed(const std::string& model, const json& changes) {
  json config = config_of(model);
  config.update(changes);
  return read_config(*TinyModel(model, "plain", config.dump()).open());
}

TEST(Config, ReadsSizesAndChoices) {
  const ModelConfig llama = read_changed("llama", json::object());
  EXPECT_EQ(llama.architecture, "llama");
  EXPECT_EQ(llama.vocab_size, 64u);
  EXPECT_EQ(llama.dim, 32u);
  EXPECT_EQ(llama.layers, 2u);
  EXPECT_EQ(llama.heads, 4u);
  EXPECT_EQ(llama.kv_heads, 2u);
  EXPECT_EQ(llama.head_dim, 16u);
  EXPECT_EQ(llama.rotary_dim, 16u);
  EXPECT_EQ(llama.ff_dim, 52u);
  EXPECT_EQ(llama.max_context, 128u);
  EXPECT_FALSE(llama.tied_embeddings);
  EXPECT_EQ(llama.rope_pairs, RopePairs::kHalves);
  const ModelConfig gguf = read_config(*open_tensor_file(TinyModel("llama", "plain").gguf()));
  EXPECT_EQ(gguf.rope_pairs, RopePairs::kAdjacent);
  EXPECT_EQ(gguf.vocab_size, 64u);
  EXPECT_EQ(gguf.ff_dim, 52u);
  const ModelConfig neox = read_changed("gptneox", json::object());
  EXPECT_EQ(neox.rotary_dim, 4u);
  EXPECT_TRUE(neox.parallel_residual);
  EXPECT_EQ(read_changed("gpt2", json::object()).ff_dim, 128u);
  EXPECT_EQ(read_changed("mistral", {{"sliding_window", nullptr}}).layer_kind(1).window, 0u);
  EXPECT_EQ(read_changed("qwen2", {{"use_sliding_window", false}, {"sliding_window", 9}}).layer_kind(1).window, 0u);
  json windowed = config_of("qwen2");
  for (const char* key : {"sliding_window", "layer_types"}) windowed.erase(key);
  windowed.update({{"use_sliding_window", true}, {"max_window_layers", 1}});
  const ModelConfig config = read_config(*TinyModel("qwen2", "plain", windowed.dump()).open());
  EXPECT_EQ(config.layer_kind(0).window, 0u);
  EXPECT_EQ(config.layer_kind(1).window, 4096u);  // the default of transformers
  EXPECT_EQ(read_changed("bert", json::object()).encoder, true);
}

TEST(Config, ReadsRotaryScalings) {
  const auto scaled = [](const json& scaling) { return read_changed("llama", {{"rope_scaling", scaling}}); };
  const ModelConfig dynamic = scaled({{"type", "dynamic"}, {"factor", 2.0}});
  EXPECT_EQ(dynamic.rope_scaling, RopeScaling::kDynamic);
  const ModelConfig yarn =
      scaled({{"rope_type", "yarn"}, {"factor", 4}, {"original_max_position_embeddings", 32}, {"mscale", 1}});
  EXPECT_NEAR(yarn.rope_attention_factor, 0.1f * std::log(4.0f) + 1, 1e-6);
  EXPECT_NEAR(
      scaled({{"rope_type", "yarn"}, {"factor", 4}, {"mscale", 1.5}, {"mscale_all_dim", 0.5}}).rope_attention_factor,
      (0.15f * std::log(4.0f) + 1) / (0.05f * std::log(4.0f) + 1), 1e-6);
  EXPECT_EQ(yarn.rope_original_context, 32u);
  EXPECT_EQ(scaled({{"type", "default"}}).rope_scaling, RopeScaling::kNone);
  EXPECT_EQ(scaled({{"type", "default"}, {"original_max_position_embeddings", 32}}).rope_original_context, 32u);
  EXPECT_INPUT_ERROR(scaled({{"type", "new"}}), "key 'type': expected default, linear");
  EXPECT_INPUT_ERROR(scaled({{"type", "linear"}}), "key 'factor'");
  EXPECT_INPUT_ERROR(scaled({{"type", "linear"}, {"factor", 0}}), "key 'factor'");
  EXPECT_INPUT_ERROR(scaled({{"type", "longrope"}, {"short_factor", {1, 2}}}), "an array of 8 positive numbers");
  EXPECT_INPUT_ERROR(scaled({{"type", "llama3"}, {"factor", 8}, {"high_freq_factor", 0.5}}), "more than");
  EXPECT_INPUT_ERROR(scaled(json::array({1})), "key 'rope_scaling': expected an object");
}

TEST(Config, RefusesContextThatADynamicScalingWouldChange) {
  json config = config_of("llama");
  config["rope_scaling"] = {{"type", "dynamic"}, {"factor", 2.0}};
  const TinyModel tiny("llama", "plain", config.dump());
  const auto file = tiny.open();
  const auto model = load_transformer(*file, kExact);
  EXPECT_EQ(model->make_cache(128)->capacity(), 128u);
  EXPECT_USAGE_ERROR(model->make_cache(129), "at most 128 tokens");
}

TEST(Config, HostileValuesAreInputErrors) {
  const auto expect = [](const char* model, const json& changes, const char* part) {
    EXPECT_INPUT_ERROR(read_changed(model, changes), part);
  };
  for (const char* key : {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                          "num_key_value_heads", "intermediate_size", "max_position_embeddings", "head_dim"}) {
    for (const json& bad : {json(0), json(-1), json(1.5), json("4"), json(true), json(uint64_t{1} << 40),
                            json(~uint64_t{0}), json(1e300), json::array(), json::object()}) {
      expect("llama", {{key, bad}}, key);
    }
  }
  expect("llama", {{"num_attention_heads", 3}, {"num_key_value_heads", 2}}, "a divisor of the 3 heads");
  expect("llama", {{"num_attention_heads", 3}, {"num_key_value_heads", 3}, {"head_dim", nullptr}},
         "a divisor of the width 32");
  expect("llama", {{"head_dim", 15}}, "an even number of rotary dimensions up to 15");
  expect("llama", {{"rope_theta", -1}}, "rope_theta");
  expect("llama", {{"rope_theta", "x"}}, "rope_theta");
  expect("llama", {{"rms_norm_eps", -1}}, "rms_norm_eps");
  expect("llama", {{"hidden_act", "mish"}}, "hidden_act");
  expect("llama", {{"tie_word_embeddings", "yes"}}, "true or false");
  expect("llama", {{"attention_bias", 1}}, "true or false");
  expect("qwen2", {{"is_causal", false}}, "is_causal");
  expect("llama", {{"architectures", "LlamaForCausalLM"}}, "an array of strings");
  expect("llama", {{"architectures", {1}}}, "an array of strings");
  expect("llama", {{"architectures", json::array()}}, "LlamaForCausalLM, MistralForCausalLM");
  expect("llama", {{"architectures", {"BloomForCausalLM"}}}, "BertModel, found BloomForCausalLM");
  expect("gptneox", {{"rotary_pct", 2}}, "rotary_pct");
  expect("gptneox", {{"rotary_pct", 0.01}}, "rotary_pct");
  expect("gpt2", {{"scale_attn_by_inverse_layer_idx", true}}, "scale_attn_by_inverse_layer_idx");
  expect("qwen2", {{"use_sliding_window", true}, {"sliding_window", 4}, {"layer_types", {"sliding_attention", "x"}}},
         "layer_types");
  expect("bert", {{"position_embedding_type", "relative_key"}}, "absolute");
  json without = config_of("llama");
  without.erase("hidden_size");
  EXPECT_INPUT_ERROR(read_config(*TinyModel("llama", "plain", without.dump()).open()),
                     "config.json: key 'hidden_size': expected a positive integer, found nothing");
  for (const char* text : {"", "[]", "{", "null", "{\"a\": 1, \"a\": 2}"}) {
    EXPECT_INPUT_ERROR(read_config(*TinyModel("llama", "plain", text).open()), "config.json");
  }
}

TEST(Config, FallsBackOnTheModelType) {
  json config = config_of("qwen3");
  config.erase("architectures");
  EXPECT_EQ(read_config(*TinyModel("qwen3", "plain", config.dump()).open()).architecture, "qwen3");
}

TEST(Config, FilesThatAreNoModels) {
  TempFolder folder;
  std::filesystem::copy_file(tiny_models_folder() / "llama" / "model.safetensors", folder / "x.safetensors");
  EXPECT_INPUT_ERROR(load_transformer(*open_tensor_file(folder / "x.safetensors")), "config.json or GGUF metadata");
}

// What a tiny model with another configuration is refused with.
void expect_load_error(const char* model, const json& changes, const char* part) {
  json config = config_of(model);
  config.update(changes);
  const TinyModel tiny(model, "plain", config.dump());
  const auto file = tiny.open();
  EXPECT_INPUT_ERROR(load_transformer(*file, kExact), part);
}

// What the configuration says must be what the tensors are.
TEST(Weights, ShapesAreChecked) {
  expect_load_error("llama", {{"vocab_size", 65}},
                    "tensor 'model.embed_tokens.weight': expected shape [65, 32], found [64, 32]");
  expect_load_error("llama", {{"intermediate_size", 53}},
                    "mlp.up_proj.weight': expected shape [53, 32], found [52, 32]");
  expect_load_error("llama", {{"num_attention_heads", 6}}, "q_proj.weight': expected shape [96, 32], found [64, 32]");
  expect_load_error("llama", {{"num_hidden_layers", 3}},
                    "'model.layers.2.input_layernorm.weight': expected shape [32], found no");
  expect_load_error("llama", {{"num_hidden_layers", 60'000}}, "model.layers.2.input_layernorm.weight");
  expect_load_error("llama", {{"num_hidden_layers", 100'000'000}},
                    "'num_hidden_layers': expected an integer from 1 to 65536, found 100000000");
  expect_load_error("llama", {{"attention_bias", true}}, "q_proj.bias': expected shape [64], found no such tensor");
  expect_load_error("llama", {{"architectures", {"Qwen3ForCausalLM"}}}, "q_norm.weight");
  expect_load_error("gpt2", {{"n_positions", 512}},
                    "transformer.wpe.weight': expected shape [512, 32], found [128, 32]");
  expect_load_error("gpt2", {{"n_inner", 64}}, "c_fc.weight': expected shape [32, 64], found [32, 128]");
  expect_load_error("llama", {{"head_dim", 1 << 27}, {"vocab_size", 64}},
                    "q_proj.weight': expected shape [536870912, 32]");
}

TEST(Config, ReadsExperts) {
  const ModelConfig mixtral = read_config(*TinyModel("mixtral", "plain").open());
  EXPECT_EQ(mixtral.experts, 4u);
  EXPECT_EQ(mixtral.experts_used, 2u);
  EXPECT_EQ(mixtral.ff_dim, 52u);
  EXPECT_TRUE(mixtral.normalized_experts);
  EXPECT_EQ(mixtral.layer_kind(0).window, 0u);
  const ModelConfig qwen = read_config(*TinyModel("qwen3moe", "raw").open());
  EXPECT_EQ(qwen.experts, 6u);
  EXPECT_EQ(qwen.ff_dim, 20u);
  EXPECT_FALSE(qwen.normalized_experts);
  expect_load_error("mixtral", {{"num_experts_per_tok", 5}}, "expected at most the 4 experts");
  expect_load_error("mixtral", {{"num_experts_per_tok", 0}}, "num_experts_per_tok");
  expect_load_error("mixtral", {{"num_local_experts", 5}}, "gate.weight': expected shape [5, 32], found [4, 32]");
  expect_load_error("mixtral", {{"num_local_experts", nullptr}}, "num_experts");
  expect_load_error("mixtral", {{"intermediate_size", 51}}, "experts.0.w3.weight': expected shape [51, 32]");
  expect_load_error("qwen3moe", {{"mlp_only_layers", {0}}}, "mlp_only_layers");
  expect_load_error("qwen3moe", {{"decoder_sparse_step", 2}}, "expected 1 (experts in every layer)");
}

TEST(Weights, BiasesInTheFileAreUsedWhateverTheConfigurationSays) {
  json config = config_of("llama-bias");
  config["attention_bias"] = config["mlp_bias"] = false;
  const TinyModel with("llama-bias", "plain"), without("llama-bias", "plain", config.dump());
  const auto a = with.open(), b = without.open();
  const std::vector<TokenId> tokens = with.integers("tokens");
  EXPECT_EQ(difference_for_test(hidden_for_test(*load_transformer(*a, kExact), tokens, 100),
                                hidden_for_test(*load_transformer(*b, kExact), tokens, 100)),
            0);
}

TEST(Weights, HeadIsTiedWhereTheFileHasNone) {
  json config = config_of("qwen2");
  config.erase("tie_word_embeddings");
  EXPECT_TRUE(read_config(*TinyModel("qwen2", "plain", config.dump()).open()).tied_embeddings);
  config["tie_word_embeddings"] = false;
  const TinyModel untied("qwen2", "plain", config.dump());
  const auto file = untied.open();
  EXPECT_INPUT_ERROR(load_transformer(*file, kExact), "tensor 'lm_head.weight'");
}

TEST(Config, GgufMetadataAreChecked) {
  TempFolder folder;
  const auto open = [&](GgufBuilder& builder) {
    const std::vector<float> zeros(64 * 32);
    const auto* bytes = reinterpret_cast<const uint8_t*>(zeros.data());
    builder.tensor("token_embd.weight", {32, 64}, 0, {bytes, zeros.size() * sizeof(float)});
    return open_tensor_file(write_test_file(folder / "m.gguf", builder.bytes()));
  };
  const auto base = [](const char* architecture, uint32_t heads) {
    GgufBuilder b;
    const std::string prefix = std::string(architecture) + ".";
    b.key("general.architecture", architecture);
    b.key(prefix + "embedding_length", 4, uint32_t{32}).key(prefix + "block_count", 4, uint32_t{2});
    b.key(prefix + "feed_forward_length", 4, uint32_t{52}).key(prefix + "attention.head_count", 4, heads);
    b.key(prefix + "context_length", 4, uint32_t{128});
    return b;
  };
  GgufBuilder unknown = base("mamba", 4), none, zero = base("llama", 0), no_eps = base("llama", 4);
  EXPECT_INPUT_ERROR(read_config(*open(unknown)), "found mamba");
  EXPECT_INPUT_ERROR(read_config(*open(none)), "found none");
  EXPECT_INPUT_ERROR(read_config(*open(zero)), "key 'llama.attention.head_count'");
  EXPECT_INPUT_ERROR(read_config(*open(no_eps)), "layer_norm_epsilon");
  GgufBuilder nan = base("llama", 4);
  nan.key("llama.attention.layer_norm_rms_epsilon", 6, std::numeric_limits<float>::quiet_NaN());
  EXPECT_INPUT_ERROR(read_config(*open(nan)), "layer_norm_rms_epsilon");
  GgufBuilder good = base("llama", 4);
  good.key("llama.attention.layer_norm_rms_epsilon", 6, 1e-5f);
  GgufBuilder experts = good, tensors = good, linear = good;
  const auto file = open(good);
  EXPECT_EQ(read_config(*file).vocab_size, 64u);
  EXPECT_INPUT_ERROR(load_transformer(*file), "tensor 'blk.0.attn_norm.weight'");
  linear.key("llama.rope.scaling.factor", 6, 4.0f);  // without a type, as llama.cpp's first files have it
  const ModelConfig scaled = read_config(*open(linear));
  EXPECT_EQ(scaled.rope_scaling, RopeScaling::kLinear);
  EXPECT_EQ(scaled.rope_factor, 4);
  experts.key("llama.expert_count", 4, uint32_t{8});
  EXPECT_INPUT_ERROR(read_config(*open(experts)), "expert_count");
}

// An archive keeps the names of what it was made from.
TEST(Config, ArchivesOfBothKindsRun) {
  const TinyModel tiny("llama", "plain");
  const std::vector<TokenId> tokens = tiny.integers("tokens");
  TempFolder folder;
  CompressOptions options;
  options.method = "rtn";
  options.bits = 8;
  options.sync = false;
  const auto source = tiny.open();
  const Matrix<float> exact = hidden_for_test(*load_transformer(*source, kExact), tokens, 100);
  compress_file(source->path(), folder / "hf.occ", options);
  compress_file(tiny.gguf(), folder / "gguf.occ", options);
  for (const char* name : {"hf.occ", "gguf.occ"}) {
    const auto archive = open_any(folder / name);
    const auto model = load_transformer(*archive, kExact);
    EXPECT_EQ(model->config().gguf_names, name[0] == 'g');
    const double difference = difference_for_test(hidden_for_test(*model, tokens, 100), exact);
    EXPECT_LT(difference, 0.1) << name;
    EXPECT_GT(difference, 0) << name;
  }
}

}  // namespace
}  // namespace occ
