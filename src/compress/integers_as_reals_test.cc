#include "compress/integers_as_reals.h"

#include <gmock/gmock.h>

#include "base/rng.h"
#include "compress/plan.h"
#include "io/open.h"
#include "io/safetensors.h"
#include "test_data.h"

namespace occ {
namespace {

// Returns the names of the integer tensors that are presented as F32.
std::vector<std::string> reals(const std::filesystem::path& path, const CompressOptions& options) {
  const std::unique_ptr<TensorFile> plain = open_tensor_file(path);
  const std::unique_ptr<TensorFile> view = integers_as_reals(open_tensor_file(path), options);
  std::vector<std::string> out;
  for (size_t i = 0; i < view->tensors().size(); ++i) {
    const TensorInfo &t = view->tensors()[i], &was = plain->tensors()[i];
    EXPECT_EQ(t.name, was.name);
    EXPECT_EQ(t.stored_bytes, was.stored_bytes);
    if (t.dtype == was.dtype) continue;
    EXPECT_EQ(t.dtype, DType::kF32);
    EXPECT_EQ(t.stored_type, dtype_name(was.dtype));
    std::vector<float> values(t.elements()), raw(t.elements());
    plain->read_f32(i, 0, values.size(), values.data());
    view->read_raw(i, 0, raw.size(), raw.data());
    EXPECT_EQ(raw, values);
    out.push_back(t.name);
  }
  return out;
}

class IntegersAsRealsTest : public testing::Test {
 protected:
  std::filesystem::path write(const std::vector<OutTensor>& tensors) {
    const std::filesystem::path path = temp_ / "x.safetensors";
    SafetensorsWriter writer(path, tensors, {}, false);
    Rng rng(1);
    for (const OutTensor& t : tensors) {
      uint64_t bytes = dtype_size(t.dtype);
      for (const uint64_t d : t.shape) bytes *= d;
      Bytes data(bytes);
      for (uint8_t& b : data) b = static_cast<uint8_t>(rng.below(100));
      writer.write(data.data(), data.size());
    }
    writer.commit();
    return path;
  }
  TempFolder temp_;
};

using testing::ElementsAre;
using testing::IsEmpty;

TEST_F(IntegersAsRealsTest, FeaturesAreCodedAndIndicesAreNot) {
  const auto features = write({{"a", DType::kI8, {64, 64}}, {"b", DType::kU8, {128, 2, 16}}});
  EXPECT_THAT(reals(features, {}), ElementsAre("a", "b"));
  CompressOptions keep;
  keep.keep = {"a"};
  EXPECT_THAT(reals(features, keep), ElementsAre("b"));
  keep.tensors = {{"*", "rtn"}, {"b", "keep"}};
  EXPECT_THAT(reals(features, keep), ElementsAre("a"));
}

TEST_F(IntegersAsRealsTest, OtherIntegersOnlyWhereAsked) {
  const auto mixed =
      write({{"w", DType::kF32, {64, 64}}, {"ids", DType::kI64, {64, 64}}, {"mask", DType::kU8, {64, 64}}});
  EXPECT_THAT(reals(mixed, {}), IsEmpty());
  CompressOptions o;
  o.tensors = {{"ids", "auto"}};
  EXPECT_THAT(reals(mixed, o), ElementsAre("ids"));
  EXPECT_THAT(reals(write({{"ids", DType::kI32, {500, 100}}}), {}), IsEmpty());
  EXPECT_THAT(reals(write({{"tiny", DType::kU8, {4, 4}}}), {}), IsEmpty());
  EXPECT_THAT(reals(write({{"flat", DType::kU8, {100000}}}), {}), IsEmpty());
}

TEST_F(IntegersAsRealsTest, LongVectorsAreCodedWhereThereIsNothingElse) {
  const auto coded = [&](const std::vector<OutTensor>& tensors) {
    const auto file = open_tensor_file(write(tensors));
    std::vector<bool> out;
    for (const PlannedTensor& t : plan_tensors(*file, {})) out.push_back(!t.kept());
    return out;
  };
  EXPECT_THAT(coded({{"a", DType::kF32, {5000}}, {"b", DType::kF32, {100}}, {"c", DType::kF32, {}}}),
              ElementsAre(true, false, false));
  EXPECT_THAT(coded({{"a", DType::kF32, {5000}}, {"w", DType::kF32, {64, 64}}}), ElementsAre(false, true));
}

}  // namespace
}  // namespace occ
