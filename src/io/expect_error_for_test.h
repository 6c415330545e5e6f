// EXPECT_OCC_ERROR(statement, kind, part) expects that the statement throws an occ::Error of that kind whose message is
// one line and contains `part`.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "occ/error.h"

#define EXPECT_OCC_ERROR(statement, error_kind, part)                                     \
  do {                                                                                    \
    try {                                                                                 \
      statement;                                                                          \
      ADD_FAILURE() << #statement << " did not throw";                                    \
    } catch (const occ::Error& error) {                                                   \
      EXPECT_EQ(error.kind(), error_kind) << error.what();                                \
      EXPECT_THAT(error.what(), testing::HasSubstr(part));                                \
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what(); \
    }                                                                                     \
  } while (false)

#define EXPECT_INPUT_ERROR(statement, part) EXPECT_OCC_ERROR(statement, occ::ErrorKind::kInput, part)
#define EXPECT_USAGE_ERROR(statement, part) EXPECT_OCC_ERROR(statement, occ::ErrorKind::kUsage, part)
