// Strips: how integers of a weight are packed in RAM, and the kernels that multiply them with int8 activations.
//
// A strip is a rectangle of up to 64 rows by 512 columns of integers k' >= 0. It is read in steps of 512 lanes, one row
// per step. Lane 64 g + i belongs to group g = 0..7 and byte i = 0..63 of a line of 64 bytes. What is left of the
// columns beside whole strips lies in strips of 256, 128 or 64 columns, whose rows are cut into 2, 4 or 8 chains that
// are read side by side: lane l of step t is row t + steps * (l / width), column l mod width.
//
// The codes of a step take one line for each of their bits, 64 * bits bytes in all. They are cut into planes of 8, 4, 2
// and 1 bits, the highest bits in the widest plane and that first. In a plane of w bits, byte i of line q holds lane i of
// group q 8 / w + t in its bits t w to t w + w - 1, for t < 8 / w.
//
// Codes j of a trellis: k' = 2 j + u, where u is the lowest bit of a state that runs down every lane. The last line of a
// step is the plane of b = j mod 2 and stays apart from the planes of the higher bits. The next state (trellis_code.h) is
// linear over GF(2), so states are bit planes too, bit p of all 512 lanes in a line of their own S_p, and a step is
//
//   u = S_0,   S_p' = S_(p+1)  XOR  (u if h0 has bit p + 1)  XOR  (b if h1 has bit p + 1),
//
// a few instructions for 512 weights. The states before the first step stand in front of the steps. With m of these
// planes (2^m states) a strip takes bits + m / 64 bits per weight. Other integers have no states, and all their bits are
// in the planes: k' = code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace occ {

constexpr size_t kPanelRows = 64;
constexpr size_t kStripColumns = 512;
constexpr size_t kLineBytes = 64;
constexpr size_t kGroups = 8;          // of a step
constexpr size_t kBlockColumns = 256;  // of activations that share a scale
constexpr unsigned kMostBits = 8;      // of k'
constexpr unsigned kMostStatePlanes = 8;
constexpr size_t kSumLanes = 16;

struct Strip {
  const uint8_t* data = nullptr;  // aligned to 64 bytes: lines of states, then steps
  size_t rows = 0;                // 1 to 64
  unsigned chains = 1;            // 1, 2, 4 or 8
  unsigned bits = 0;              // of a code: at most 8, or 7 with states
  unsigned state_planes = 0;      // 2 to 8: those of the trellis of 2^state_planes states; 0: no states

  size_t width() const { return kStripColumns / chains; }
  size_t steps() const { return (rows + chains - 1) / chains; }
  const uint8_t* codes() const { return data + state_planes * kLineBytes; }
  size_t bytes() const { return (state_planes + steps() * bits) * kLineBytes; }
  unsigned most() const { return (1u << (bits + (state_planes != 0 ? 1 : 0))) - 1; }  // no k' is larger
};

// Packs the codes [512] of a step, each < 2^bits, into bits lines.
void pack_step(const uint8_t* codes, unsigned bits, bool with_states, uint8_t* out);

// Walks `steps` steps down. states [state_planes lines]: on entry those before the first step, on return those after the
// last one. u [steps lines]: the planes of u, or null.
void walk_states(const Strip& strip, size_t steps, uint8_t* states, uint8_t* u);

// Writes k' of step `step`, whose plane of u is given (if there are states), to out [512], aligned to 64 bytes.
void unpack_step(const Strip& strip, size_t step, const uint8_t* u, uint8_t* out);

// Writes k' of all rows to out: row r at out + r * 512, of which the strip's columns are written. out has room for 64
// rows and is aligned to 64 bytes.
void unpack_strip(const Strip& strip, uint8_t* out);

// The activations of a strip's columns, for one input.
struct StripInput {
  const int8_t* x = nullptr;  // [width], |x| <= 127, aligned to 64 bytes
  float scales[2] = {};       // of the two blocks of 256 columns; narrow strips use the first
  float* sums = nullptr;      // [64, kSumLanes], aligned to 64 bytes
};
// sums[r][lane] += scale * (sum of k' x over some of the columns), so that the sum over lanes of row r grows by
// sum_c scale[c / 256] k'[r][c] x[c]. Sums of integers are exact. Inputs may share `sums`. Rows beyond the last may get
// anything.
void strip_dots(const Strip& strip, std::span<const StripInput> inputs);

// out[r] = sum of sums[r][0..15] for r < 64.
void sum_lanes(const float* sums, float* out);

}  // namespace occ
