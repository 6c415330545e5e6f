// Takes any bytes as config.json and as gguf.json of a model. read_config must accept them or throw occ::Error, and the
// sizes of an accepted configuration must be within its limits.
#include <cstdint>
#include <string>

#include "base/check.h"
#include "model/config.h"
#include "model/rope.h"
#include "occ/error.h"

namespace {

// A model file that has one embedding and the input as its only side file.
class OneSideFile final : public occ::TensorFile {
 public:
  OneSideFile(const char* name, const uint8_t* data, size_t size) : side_{name, occ::Bytes(data, data + size)} {
    tensors_.push_back({"token_embd.weight", {64, 32}, occ::DType::kF32, "", 8192});
  }
  std::string path() const override { return "fuzz"; }
  std::string format() const override { return "hf"; }
  const std::vector<occ::TensorInfo>& tensors() const override { return tensors_; }
  void read_f32(size_t, uint64_t, uint64_t, float*) const override { std::abort(); }
  void read_raw(size_t, uint64_t, uint64_t, void*) const override { std::abort(); }
  std::vector<occ::SideFile> side_files() const override { return {side_}; }
  uint64_t file_bytes() const override { return 0; }

 private:
  occ::SideFile side_;
  std::vector<occ::TensorInfo> tensors_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const char* name : {"config.json", "gguf.json"}) {
    try {
      const occ::ModelConfig config = occ::read_config(OneSideFile(name, data, size));
      for (const size_t n : {config.vocab_size, config.dim, config.layers, config.heads, config.kv_heads,
                             config.head_dim, config.max_context}) {
        OCC_CHECK(n > 0 && n <= size_t{1} << 28);
      }
      OCC_CHECK(config.heads % config.kv_heads == 0 && config.rotary_dim <= config.head_dim);
      if (config.rotary_dim <= 1024) occ::Rope(config, true);
    } catch (const occ::Error&) {
    }
  }
  return 0;
}
