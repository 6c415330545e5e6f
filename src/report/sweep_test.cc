#include "report/sweep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "report/sweep_file.h"
#include "report/sweep_losses.h"

namespace occ {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(SplitMethods, KeepsCommasOfParameters) {
  EXPECT_THAT(split_methods("rtn"), ElementsAre("rtn"));
  EXPECT_THAT(split_methods("rtn,lloyd(group=64,codebook=fitted),pq"),
              ElementsAre("rtn", "lloyd(group=64,codebook=fitted)", "pq"));
  EXPECT_THAT(split_methods("a,"), ElementsAre("a", ""));
}

SweepCell done(std::string method, uint64_t bytes, double nmse) {
  SweepCell c;
  c.method = std::move(method);
  c.state = SweepCell::State::kDone;
  c.bytes = bytes;
  c.nmse = nmse;
  return c;
}

TEST(Sweep, ComparesCellsByTheLossThatWasMeasured) {
  Sweep s;
  SweepCell c = done("rtn", 10, 0.5);
  c.kl = 0.25;
  c.embedding_cosine = 0.75;
  s.loss = kLossOfWeights;
  EXPECT_EQ(loss_of(s, c), 0.5);
  s.loss = kLossOfLanguage;
  EXPECT_EQ(loss_of(s, c), 0.25);
  s.loss = kLossOfEncoder;
  EXPECT_EQ(loss_of(s, c), 0.25);
}

TEST(SweepCsv, HasALineForEveryCellAndQuotesTexts) {
  Sweep s;
  s.loss = kLossOfWeights;
  s.input_bytes = 100;
  s.cells = {done("lloyd(group=16,bits=2)", 50, 0.5), SweepCell(), SweepCell()};
  s.cells[1].method = "rtn";
  s.cells[1].state = SweepCell::State::kFailed;
  s.cells[1].error = "expected \"a\",\nfound b";
  s.cells[2].method = "pq";
  const std::string csv = sweep_csv(s);
  EXPECT_THAT(csv, HasSubstr("\"lloyd(group=16,bits=2)\",0,done,50,2,0,"));
  EXPECT_THAT(csv, HasSubstr("rtn,0,failed,,,,"));
  EXPECT_THAT(csv, HasSubstr("\"expected \"\"a\"\",\nfound b\""));
  EXPECT_THAT(csv, HasSubstr("pq,0,waiting,"));
  EXPECT_EQ(s.failed(), 1u);
}

TEST(SweepCells, AreReadAsTheyWereWritten) {
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "occ_sweep_cells.json";
  std::vector<SweepCell> cells = {done("rtn", 123, 0.125), SweepCell()};
  cells[0].key = "k";
  cells[0].kl = 0.1;
  cells[0].recall = 1.0 / 3;
  cells[0].notes = {"a note"};
  write_cells(path, cells);
  const std::vector<SweepCell> read = read_cells(path);
  std::filesystem::remove(path);
  ASSERT_EQ(read.size(), 1u) << "only finished cells are stored";
  EXPECT_EQ(read[0].key, "k");
  EXPECT_EQ(read[0].bytes, 123u);
  EXPECT_EQ(to_json(read[0]), to_json(cells[0]));
  EXPECT_FALSE(read[0].perplexity);
}

}  // namespace
}  // namespace occ
