// Values that a narrower type does not hold are errors, up to the last number that is rounded to a finite one.
#include "io/copy_tensor.h"

#include <gtest/gtest.h>

#include <cmath>

#include "io/expect_error_for_test.h"
#include "io/open.h"
#include "test_data.h"

namespace occ {
namespace {

class CopyTensor : public testing::Test {
 protected:
  // A file with one tensor x of these bytes.
  std::unique_ptr<TensorFile> file(DType dtype, const void* data, uint64_t count) const {
    const std::filesystem::path path = folder_.path() / "in.safetensors";
    const auto sink = make_tensor_sink(path);
    sink->begin({{"x", dtype, {count}}});
    sink->write(data, count * dtype_size(dtype));
    sink->commit();
    return open_tensor_file(path);
  }
  // The values of its copy of another type.
  std::vector<float> copied(const TensorFile& in, DType dtype) const {
    const std::filesystem::path path = folder_.path() / "out.safetensors";
    const auto sink = make_tensor_sink(path);
    sink->begin({{"x", dtype, in.tensors()[0].shape}});
    copy_tensor(in, 0, dtype, *sink);
    sink->commit();
    std::vector<float> out(in.tensors()[0].elements());
    open_tensor_file(path)->read_f32(0, 0, out.size(), out.data());
    return out;
  }

  TempFolder folder_;
};

TEST_F(CopyTensor, DoublesThatNoFloatHoldsAreNamed) {
  const double values[] = {1, INFINITY, -1e39, 7e4};
  const auto in = file(DType::kF64, values, 4);
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    EXPECT_INPUT_ERROR(copied(*in, dtype), "found -1e+39 at element 2");
    EXPECT_FALSE(fits(*in, 0, dtype));
  }
  const auto small = file(DType::kF64, values, 2);
  EXPECT_EQ(copied(*small, DType::kF32), (std::vector<float>{1, INFINITY}));
  EXPECT_TRUE(fits(*small, 0, DType::kF16));
  EXPECT_INPUT_ERROR(copied(*file(DType::kF64, values + 3, 1), DType::kF16), "dtype f32 holds it");
}

TEST_F(CopyTensor, LimitsAreThoseOfRounding) {
  for (const auto& [dtype, tie] : {std::pair(DType::kF16, 65520.0f), std::pair(DType::kBF16, 0x1.ffp127f)}) {
    for (const float sign : {1.0f, -1.0f}) {
      const float last = sign * std::nextafter(tie, 0.0f), first = sign * tie;
      EXPECT_TRUE(std::isfinite(copied(*file(DType::kF32, &last, 1), dtype)[0]));
      EXPECT_INPUT_ERROR(copied(*file(DType::kF32, &first, 1), dtype), "within the range of");
    }
  }
}

}  // namespace
}  // namespace occ
