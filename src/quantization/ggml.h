// QUANTIZE `ggml`: the blocks of GGUF files, so that llama.cpp can run what was coded here (io/gguf_blocks.h has their
// layouts). Rows are cut into super-blocks of 32 or 256 columns, and these into sub-blocks of 16 or 32. A value is
//
//   level(q) * scale - offset
//
// with a code q per value. In types without sub-blocks scale and offset are an f16 each; in the K types they are
// integers of 4 to 8 bits, times one f16 of the super-block. The levels are integers, or the fixed table of IQ4_NL.
//
// What differs from llama.cpp is how the numbers are chosen: scales and offsets are those of the least squared error
// with the weights that the columns have under error feedback, L_ii^2 (FitContext::feedback_scales), and codes are
// chosen with error feedback (Frantar et al. 2022, GPTQ), as for all quantizers here.
#pragma once

#include "quantization/quantizer.h"

namespace occ {

QuantizerEntry ggml_entry();

// The name of the type that a quantizer made by this entry codes, such as "Q4_K"; empty for any other quantizer.
std::string_view ggml_type_of(const Quantizer& quantizer);

// The scales of its sub-blocks, row after row. Only for a quantizer of this entry.
std::span<const float> ggml_scales(const Quantizer& quantizer);

// Writes rows [first_row, first_row + symbols.rows()) with these codes as blocks of a GGUF file. `out` has the bytes of
// these rows. Only for a quantizer of this entry whose columns are a multiple of the columns of a super-block.
void pack_ggml_rows(const Quantizer& quantizer, size_t first_row, MatrixView<const Symbol> symbols, uint8_t* out);

}  // namespace occ
