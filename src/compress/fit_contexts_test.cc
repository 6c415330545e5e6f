#include "compress/fit_contexts.h"

#include <gtest/gtest.h>

#include "container/archive_file.h"
#include "io/safetensors.h"
#include "test_data.h"

namespace occ {
namespace {

constexpr size_t kRows = 128, kCols = 96;

class TwoCosts final : public CalibrationSource {
 public:
  TwoCosts() : gains_(kRows, kRows) {
    calibration_->rows = std::make_shared<RowImportance>(RowImportance{std::vector<double>(kRows, 1.0), 4, {}});
    calibration_->fed_rows =
        std::make_shared<RowImportance>(RowImportance{std::vector<double>(kRows, 1.0), 1, gains_.view()});
  }
  std::string describe() const override { return "test"; }
  std::vector<std::string> order() const override { return {}; }
  void reach(const std::string& /*tensor*/, const TensorFile& /*coded*/) override {}
  std::shared_ptr<const TensorCalibration> find(const std::string& /*tensor*/) const override { return calibration_; }
  TunedValues tune(const TensorFile&, const std::set<std::string>&, const std::set<std::string>&,
                   std::vector<std::string>*) override {
    return {};
  }

 private:
  const Matrix<float> gains_;
  std::shared_ptr<TensorCalibration> calibration_ = std::make_shared<TensorCalibration>();
};

// Whether the errors of rows are fed into later rows with these options.
bool feeds(const TensorFile& source, CompressOptions options) {
  TwoCosts costs;
  const FitContexts contexts(source, options, {}, &costs);
  std::vector<PlannedTensor> plan = plan_tensors(source, options);
  contexts.prepare(&plan, nullptr);
  return contexts.context(plan[0], 3).first.row_gains.size() != 0;
}

TEST(FitContexts, RowsAreFedIntoLaterOnesAtRatesAtWhichThatHolds) {
  const TempFolder folder;
  SafetensorsWriter writer(folder / "m.safetensors", {{"a.weight", DType::kF32, {kRows, kCols}}}, {}, false);
  const std::vector<float> ones(kRows * kCols, 1.0f);
  writer.write(ones.data(), ones.size() * sizeof(float));
  writer.commit();
  const auto source = open_any(folder / "m.safetensors");
  CompressOptions o;
  EXPECT_TRUE(feeds(*source, o));
  o.bits = 3;
  EXPECT_TRUE(feeds(*source, o));
  o.bits = 2;
  EXPECT_FALSE(feeds(*source, o));
  o.bits.reset();
  o.size = kRows * kCols * 3 / 8;
  EXPECT_TRUE(feeds(*source, o));
  o.size = kRows * kCols * 2 / 8;
  EXPECT_FALSE(feeds(*source, o));
  o.size.reset();
  o.ratio = 16;
  EXPECT_FALSE(feeds(*source, o));
  o.ratio = 8;
  EXPECT_TRUE(feeds(*source, o));
  o.method = "e8";  // this method does not use gains
  EXPECT_FALSE(feeds(*source, o));
}

TEST(FitContexts, MatricesOfZerosCostNothingAndLeaveTheOthersTheirShare) {
  const TempFolder folder;
  SafetensorsWriter writer(folder / "m.safetensors",
                           {{"a.weight", DType::kF32, {kRows, kCols}},
                            {"b.weight", DType::kF32, {kRows, kCols}},
                            {"c.weight", DType::kF32, {kRows, kCols}}},
                           {}, false);
  for (const float value : {1.0f, 0.0f, 2.0f}) {
    const std::vector<float> values(kRows * kCols, value);
    writer.write(values.data(), values.size() * sizeof(float));
  }
  writer.commit();
  const auto source = open_any(folder / "m.safetensors");
  const CompressOptions options;
  TwoCosts costs;
  const FitContexts contexts(*source, options, {}, &costs);
  std::vector<PlannedTensor> plan = plan_tensors(*source, options);
  contexts.prepare(&plan, nullptr);
  ASSERT_EQ(plan.size(), 3u);
  EXPECT_NEAR(plan[0].sensitivity, 0.5, 1e-6);  // energies 1 and 4, relative to their geometric mean
  EXPECT_NEAR(plan[2].sensitivity, 2, 1e-6);
}

}  // namespace
}  // namespace occ
