// The fast Walsh-Hadamard transform in natural (Hadamard) order, H_2n = [H_n H_n; H_n -H_n], orthonormal and its own
// inverse. Every SIMD target adds in the same order (stages with distances 1, 2, 4, ...) and then multiplies once, so
// that results are the same on every CPU. Cost: n log2 n additions. One pass over memory does three stages; the first
// pass, in registers, does six.
#pragma once

#include <cstddef>

namespace occ {

// 1 / sqrt(n) of a power of two: exact for an even exponent, otherwise a power of two times 0.70710678f.
float fwht_scale(size_t n);

// Transforms `count` vectors in place, the i-th at data + i * n. n is a power of two; 1 is allowed.
void fwht(float* data, size_t n, size_t count);

// Transforms a panel [n, 16] (simd/panel.h) in place.
void fwht_panel(float* panel, size_t n);
void fwht_panel(double* panel, size_t n);

}  // namespace occ
