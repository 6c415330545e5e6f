// The codebooks of ggml's IQ1, IQ2 and IQ3 types, which are part of these formats (tables of ggml-common.h and of the
// gguf Python package). An entry is a point of a lattice: the first value is in its lowest bits.
//   IQ1, IQ2: 8 values of 2 bits; IQ1 means q - 1, IQ2 means {8, 25, 43}[q].
//   IQ3: 4 values of 3 bits; IQ3_XXS means {4, 12, 20, 28, 36, 44, 52, 62}[q], IQ3_S means 2 q + 1.
#pragma once

#include <array>
#include <cstdint>

namespace occ {

extern const std::array<uint16_t, 256> kIq2XxsGrid;
extern const std::array<uint16_t, 512> kIq2XsGrid;
extern const std::array<uint16_t, 1024> kIq2SGrid;
extern const std::array<uint16_t, 2048> kIq1Grid;  // of IQ1_S and IQ1_M
extern const std::array<uint16_t, 256> kIq3XxsGrid;
extern const std::array<uint16_t, 512> kIq3SGrid;

}  // namespace occ
