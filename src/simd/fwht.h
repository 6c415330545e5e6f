// Fast Walsh-Hadamard transform in natural (Hadamard) order, H_2n = [H_n H_n; H_n -H_n], orthonormal and its own
// inverse. The tree of sums is the textbook one (stage distances 1, 2, 4, ...) on every target, then one product, so
// the floats are the same everywhere. Cost: n log2 n additions; memory is passed over once per three stages (six in the
// first pass, which runs in registers).
#pragma once

#include <cstddef>

namespace occ {

// 1 / sqrt(n) of a power of two: exact for an even exponent, otherwise a power of two times 0.70710678f.
float fwht_scale(size_t n);

// In place: `count` vectors of length n (a power of two, 1 included), the i-th at data + i * n.
void fwht(float* data, size_t n, size_t count);

// In place: 16 interleaved vectors of length n, element i of vector v at panel[i * 16 + v] (see simd/panel.h).
void fwht_panel(float* panel, size_t n);
void fwht_panel(double* panel, size_t n);

}  // namespace occ
