#include "tensor/octave_scales.h"

#include <algorithm>

namespace occ {

const std::array<float, kOctaveCodes> kOctaveFractions = {
    0x1p+0f,        0x1.02c9a4p+0f, 0x1.059b0ep+0f, 0x1.087452p+0f, 0x1.0b5586p+0f, 0x1.0e3ec4p+0f, 0x1.11301ep+0f,
    0x1.1429aap+0f, 0x1.172b84p+0f, 0x1.1a35bep+0f, 0x1.1d4874p+0f, 0x1.2063b8p+0f, 0x1.2387a6p+0f, 0x1.26b456p+0f,
    0x1.29e9ep+0f,  0x1.2d285ap+0f, 0x1.306fep+0f,  0x1.33c08cp+0f, 0x1.371a74p+0f, 0x1.3a7db4p+0f, 0x1.3dea64p+0f,
    0x1.4160a2p+0f, 0x1.44e086p+0f, 0x1.486a2cp+0f, 0x1.4bfdaep+0f, 0x1.4f9b28p+0f, 0x1.5342b6p+0f, 0x1.56f474p+0f,
    0x1.5ab07ep+0f, 0x1.5e76f2p+0f, 0x1.6247ecp+0f, 0x1.662388p+0f, 0x1.6a09e6p+0f, 0x1.6dfb24p+0f, 0x1.71f75ep+0f,
    0x1.75feb6p+0f, 0x1.7a1148p+0f, 0x1.7e2f34p+0f, 0x1.82589ap+0f, 0x1.868d9ap+0f, 0x1.8ace54p+0f, 0x1.8f1aeap+0f,
    0x1.93737cp+0f, 0x1.97d82ap+0f, 0x1.9c4918p+0f, 0x1.a0c668p+0f, 0x1.a5503cp+0f, 0x1.a9e6b6p+0f, 0x1.ae89fap+0f,
    0x1.b33a2cp+0f, 0x1.b7f77p+0f,  0x1.bcc1eap+0f, 0x1.c199bep+0f, 0x1.c67f12p+0f, 0x1.cb720ep+0f, 0x1.d072d4p+0f,
    0x1.d5818ep+0f, 0x1.da9e6p+0f,  0x1.dfc974p+0f, 0x1.e502eep+0f, 0x1.ea4afap+0f, 0x1.efa1bep+0f, 0x1.f50766p+0f,
    0x1.fa7c18p+0f};

int octave_code_near(double scale, int step) {
  const double code = std::clamp(kOctaveCodes * std::log2(scale), double{kLeastOctaveCode}, double{kMostOctaveCode});
  return step * static_cast<int>(std::lrint(code / step));
}

}  // namespace occ
