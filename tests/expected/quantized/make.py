#!/usr/bin/env python3
"""Makes tiny quantized checkpoints and the values that the reference packages make of them (src/io/quantized_test.cc).

Needs numpy, torch, safetensors, transformers, compressed-tensors and bitsandbytes; the values were made with torch 2.15,
transformers 5.24, compressed-tensors 0.20.1 and bitsandbytes 0.50.2. GPTQ and AWQ follow the formulas of AutoGPTQ's
qlinear_cuda (unpack, add one modulo 2^bits, subtract, multiply) and AutoAWQ's packing_utils.

Every case is a folder: config.json and model.safetensors, which are read, and expected.safetensors.
"""
import json
import os
import shutil

import numpy as np
import torch
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
torch.manual_seed(1)
rng = np.random.default_rng(1)


def case(name, config, tensors, expected):
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump({"quantization_config": config}, f)
    pad = {"plain.weight": torch.ones(2, 2)}  # what is not quantized stays as it is
    save_file({**{k: v.contiguous() for k, v in tensors.items()}, **pad}, os.path.join(folder, "model.safetensors"))
    save_file({k: v.contiguous() for k, v in expected.items()}, os.path.join(folder, "expected.safetensors"))


def pack_dense(codes, bits):
    """[n, m] codes to [n * bits / 32, m] words, dense along the first dimension."""
    n, m = codes.shape
    words = np.zeros((n * bits // 32, m), np.uint64)
    for i in range(n):
        bit = i * bits
        words[bit // 32] |= (codes[i].astype(np.uint64) << np.uint64(bit % 32)) & np.uint64(0xFFFFFFFF)
        if bit % 32 + bits > 32:
            words[bit // 32 + 1] |= codes[i].astype(np.uint64) >> np.uint64(32 - bit % 32)
    return torch.from_numpy(words.astype(np.uint32).view(np.int32))


def gptq(name, bits, groups, act_order, form, outputs=32, inputs=32):
    q = rng.integers(0, 2**bits, (inputs, outputs))
    z = rng.integers(0, 2**bits, (groups, outputs))
    scales = torch.rand(groups, outputs).half() * 0.1
    g_idx = np.arange(inputs) // (inputs // groups)
    if act_order:
        g_idx = rng.permutation(g_idx)
    stored = z if form == "gptq_v2" else (z - 1) % 2**bits
    tensors = {
        "a.qweight": pack_dense(q, bits),
        "a.qzeros": pack_dense(stored.T, bits).T,
        "a.scales": scales,
        "a.g_idx": torch.from_numpy(g_idx.astype(np.int32)),
    }
    zeros = torch.from_numpy(z[g_idx]).half()
    weight = scales[torch.from_numpy(g_idx)] * (torch.from_numpy(q).half() - zeros)
    config = {"quant_method": "gptq", "bits": bits, "group_size": inputs // groups, "desc_act": act_order,
              "checkpoint_format": form}
    case(name, config, tensors, {"a.weight": weight.T})


def awq():
    inputs, outputs, groups = 32, 32, 2
    order = [0, 2, 4, 6, 1, 3, 5, 7]

    def pack(codes):
        words = np.zeros((codes.shape[0], codes.shape[1] // 8), np.uint32)
        for i in range(8):
            words |= codes[:, order[i]::8].astype(np.uint32) << np.uint32(4 * i)
        return torch.from_numpy(words.view(np.int32))

    q, z = rng.integers(0, 16, (inputs, outputs)), rng.integers(0, 16, (groups, outputs))
    scales = torch.rand(groups, outputs).half() * 0.1
    of = np.arange(inputs) // (inputs // groups)
    weight = (torch.from_numpy(q).half() - torch.from_numpy(z[of]).half()) * scales[torch.from_numpy(of)]
    case("awq", {"quant_method": "awq", "bits": 4, "group_size": 16, "version": "gemm", "zero_point": True},
         {"a.qweight": pack(q), "a.qzeros": pack(z), "a.scales": scales}, {"a.weight": weight.T})


def fp8():
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize
    reference = Fp8Dequantize(None)
    w = torch.randn(16, 24)
    q = w.to(torch.float8_e4m3fn)
    for name, scale, config in (
            ("fp8_block", torch.rand(2, 3) + 0.5, {"quant_method": "fp8", "weight_block_size": [8, 8]}),
            ("fp8_bf16_scale", (torch.rand(2, 3) + 0.5).bfloat16(), {"quant_method": "fp8", "weight_block_size": [8, 8]}),
            ("fp8_tensor", torch.tensor([[0.37]]), {"quant_method": "fp8"})):
        case(name, config, {"a.weight": q, "a.weight_scale_inv": scale, "a.input_scale": torch.ones(())},
             {"a.weight": reference._dequantize_one(q, scale)})
    row = torch.rand(16, 1) + 0.5  # the kernel's formula: rows of the product are multiplied by these
    case("fbgemm_fp8", {"quant_method": "fbgemm_fp8"}, {"a.weight": q, "a.weight_scale": row},
         {"a.weight": q.float() * row})
    stack = torch.randn(2, 16, 16).to(torch.float8_e4m3fn)
    grid = torch.rand(2, 2, 2) + 0.5
    case("fp8_experts", {"quant_method": "fp8", "weight_block_size": [8, 8]},
         {"e.gate_up_proj": stack, "e.gate_up_proj_scale_inv": grid},
         {"e.gate_up_proj": reference._dequantize_one(stack, grid)})


def compressed_tensors():
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    def one(name, form, args, weight, scale, zero=None, extra=None):
        scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**args))
        compressor = BaseCompressor.get_value_from_registry(form)
        state = {"weight": weight, "weight_scale": scale}
        if zero is not None:
            state["weight_zero_point"] = zero
        state.update(extra or {})
        packed = compressor.compress(state, scheme)
        weight = compressor.decompress(dict(packed), scheme)["weight"]
        config = {"quant_method": "compressed-tensors", "format": form,
                  "config_groups": {"group_0": {"targets": ["Linear"], "weights": args}}}
        case(name, config, {"a." + k: v for k, v in packed.items() if v is not None}, {"a.weight": weight})

    w = torch.randn(16, 32)
    grouped = w.reshape(16, 2, 16).abs().amax(2)
    group = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 16}
    one("ct_int4", "pack-quantized", {**group, "symmetric": True}, w.bfloat16(), (grouped / 7).bfloat16())
    one("ct_int4_asymmetric", "pack-quantized", {**group, "symmetric": False}, w.half(), (grouped / 5).half(),
        torch.randint(-8, 8, (16, 2), dtype=torch.int8))
    one("ct_int3", "pack-quantized", {**group, "num_bits": 3, "symmetric": True}, w, grouped / 3)
    one("ct_int8", "int-quantized", {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True},
        w.bfloat16(), (w.abs().amax(1, keepdim=True) / 127).bfloat16())
    one("ct_fp8", "float-quantized", {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True},
        w.bfloat16(), (w.abs().amax(1, keepdim=True) / 448).bfloat16())
    total = torch.tensor([448 * 6 / w.abs().max()])
    one("ct_nvfp4", "nvfp4-pack-quantized",
        {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16, "symmetric": True}, w.bfloat16(),
        (grouped / 6 * total).to(torch.float8_e4m3fn).bfloat16(), extra={"weight_global_scale": total})
    one("ct_mxfp4", "mxfp4-pack-quantized",
        {"num_bits": 4, "type": "float", "strategy": "group", "group_size": 32, "symmetric": True}, w.bfloat16(),
        2.0 ** torch.floor(torch.log2(w.abs().amax(1, keepdim=True)) - 2).bfloat16())


def bitsandbytes():
    import bitsandbytes.functional as F
    w = torch.randn(16, 24)
    for name, kind, dtype, nested in (("bnb_nf4", "nf4", torch.bfloat16, False), ("bnb_nf4_nested", "nf4", torch.float16, True),
                                      ("bnb_fp4", "fp4", torch.float32, False)):
        q, state = F.quantize_4bit(w.to(dtype), blocksize=64, quant_type=kind, compress_statistics=nested)
        tensors = {"a.weight": q.reshape(-1, 1)}
        for key, value in state.as_dict(packed=True).items():
            tensors["a.weight." + key] = value
        case(name, {"quant_method": "bitsandbytes", "load_in_4bit": True}, tensors,
             {"a.weight": F.dequantize_4bit(q, state).reshape(16, 24)})
    q = torch.randint(-127, 128, (16, 24), dtype=torch.int8)
    scale = torch.rand(16)
    case("bnb_int8", {"quant_method": "bitsandbytes", "load_in_8bit": True},
         {"a.weight": q, "a.SCB": scale, "a.weight_format": torch.tensor(0, dtype=torch.uint8)},
         {"a.weight": F.int8_vectorwise_dequant(q, scale)})


def fp4():
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors
    blocks = torch.randint(0, 256, (2, 6, 2, 16), dtype=torch.uint8)
    scales = torch.randint(118, 130, (2, 6, 2), dtype=torch.uint8)
    case("mxfp4", {"quant_method": "mxfp4"},
         {"e.gate_up_proj_blocks": blocks, "e.gate_up_proj_scales": scales, "e.gate_up_proj_bias": torch.ones(2, 6)},
         {"e.gate_up_proj": convert_moe_packed_tensors(blocks, scales)})
    # ModelOpt: NVFP4QTensor.dequantize multiplies the scale of the block by weight_scale_2 in f32.
    values = torch.tensor([0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6])
    q = torch.randint(0, 256, (8, 32), dtype=torch.uint8)
    codes = torch.stack([q & 15, q >> 4], -1).reshape(8, 64).long()
    scale, second = (torch.rand(8, 4) * 100).to(torch.float8_e4m3fn), torch.tensor(0.0123)
    case("modelopt", {"quant_method": "modelopt", "quant_algo": "NVFP4"},
         {"a.weight": q, "a.weight_scale": scale, "a.weight_scale_2": second, "a.input_scale": torch.ones(())},
         {"a.weight": values[codes] * (scale.float() * second).repeat_interleave(16, 1)})


gptq("gptq_2bit", 2, 2, False, "gptq")
gptq("gptq_3bit", 3, 2, False, "gptq")
gptq("gptq_4bit_act_order", 4, 4, True, "gptq")
gptq("gptq_8bit_v2", 8, 1, False, "gptq_v2")
awq()
fp8()
compressed_tensors()
bitsandbytes()
fp4()
