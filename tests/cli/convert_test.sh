#!/usr/bin/env bash
# Models change their form with the format: GGUF to a Hugging Face folder and back, also out of archives.
. "$(dirname "$0")/lib.sh"
M=$DATA/models/stories260k
[ -d "$M" ] || skip "test data not found: $DATA"
same_values() {
  expect 0 "$OCC" compare "$1" "$2" --json
  grep -q '"mse": 0.0,' out || fail "$1 and $2 differ"
}
speaks() { "$OCC" generate "$1" --prompt "Once upon a time" -n 30 --temperature 0 --arithmetic f32 --quiet; }

expect 0 "$OCC" decompress "$M/model-f32.gguf" -o hf
same_values "$M" hf
for f in config.json tokenizer.json tokenizer_config.json; do [ -s hf/$f ] || fail "no $f"; done
[ ! -e hf/gguf.json ] || fail "GGUF metadata in a Hugging Face folder"
[ "$(speaks hf)" = "$(speaks "$M")" ] || fail "the folder made from the GGUF speaks differently"

expect 0 "$OCC" decompress "$M" -o back.gguf
same_values "$M/model-f32.gguf" back.gguf
[ "$(speaks back.gguf)" = "$(speaks "$M")" ] || fail "the GGUF made from the folder speaks differently"
printf 'Lily likes cats & dogs.\n  "Why?" <s> said 3 caf\303\251s' >text
for model in "$M" hf back.gguf; do
  expect 0 "$OCC" tokenize "$model" --text text
  cp out ids-"$(basename "$model")"
done
cmp ids-stories260k ids-hf
cmp ids-stories260k ids-back.gguf

# Out of archives; f16 leaves norms in f32 in GGUF.
expect 0 "$OCC" compress "$M" -o m.occ --bits 5 --no-calibrate --quiet
expect 0 "$OCC" compress "$M/model-f32.gguf" -o g.occ --bits 5 --no-calibrate --quiet
expect 0 "$OCC" decompress m.occ -o m.gguf --dtype f16
expect 0 "$OCC" inspect m.gguf --verbose
grep -q '^blk.0.attn_norm.weight .* F32 ' out || fail "norms of GGUF are not f32"
grep -q '^blk.0.attn_q.weight .* F16 ' out || fail "--dtype f16 has no effect"
mkdir bert
cp "$SOURCE/tests/expected/models/bert/model.safetensors" bert
cp "$SOURCE/tests/expected/models/bert/plain.config.json" bert/config.json
for type in f16 bf16; do
  expect 0 "$OCC" decompress bert -o bert.gguf --dtype $type --force
  expect 0 "$OCC" inspect bert.gguf --verbose
  for name in position_embd token_types token_embd_norm; do
    grep -q "^$name.weight .* F32 " out || fail "$name is not f32 with --dtype $type"
  done
  grep -qi "^blk.0.attn_q.weight .* $type " out || fail "--dtype $type has no effect on an encoder"
done
expect 0 "$OCC" decompress g.occ -o g
expect 0 "$OCC" evaluate g --text "$DATA/text/tinystories_a.txt" --max-tokens 2048 --context 256 --reference g.occ --json
perl -0ne 'exit(/"kl_mean": ([-0-9.e]+)/ && $1 < 1e-7 ? 0 : 1)' out || fail "the folder made from the archive differs from it"
# In block types for llama.cpp, calibrated: better than without, and what is written is what was coded.
if "$OCC" decompress --help | grep -q gguf-type; then
  export XDG_CACHE_HOME=$PWD/cache
  tail -c 40000 "$DATA/text/tinystories_a.txt" >calibration
  head -c 20000 "$DATA/text/tinystories_a.txt" >measured
  kl() {
    expect 0 "$OCC" evaluate "$1" --text measured --context 256 --reference "$M" --json
    perl -0ne 'print $1 if /"kl_mean": ([-0-9.e]+)/' out
  }
  expect 0 "$OCC" decompress "$M" -o q4.gguf --gguf-type Q4_0 --calibrate calibration --calibration-tokens 4096
  grep -q '^KL divergence' out || fail "the loss is not told"
  expect 0 "$OCC" inspect q4.gguf --verbose
  grep -q '^blk.0.attn_q.weight .* Q4_0 ' out && grep -q '^token_embd.weight .* Q8_0 ' out || fail "types of --gguf-type Q4_0"
  expect 0 "$OCC" decompress m.occ -o plain.gguf --gguf-type q4_0 --no-calibrate --quiet
  [ "$(stat -c %s q4.gguf)" = "$(stat -c %s plain.gguf)" ] || fail "the same types have other sizes"
  perl -e 'exit($ARGV[0] < 0.8 * $ARGV[1] ? 0 : 1)' "$(kl q4.gguf)" "$(kl plain.gguf)" || fail "calibrated blocks are no better"
  # Four bits for vLLM: the reader, which is compared with the package, gives the values that were coded.
  expect 0 "$OCC" decompress "$M" -o int4 --hf-type int4 --calibrate calibration --calibration-tokens 4096 --quiet
  grep -q '"format": "pack-quantized"' int4/config.json && grep -q '"group_size": 64' int4/config.json || fail "config of int4"
  expect 0 "$OCC" inspect int4 --verbose
  grep -q '^model.layers.0.self_attn.q_proj.weight .* int4 ' out || fail "no int4 weights"
  expect 0 "$OCC" decompress "$M" -o int4-plain --hf-type int4 --no-calibrate --quiet
  perl -e 'exit($ARGV[0] < 0.8 * $ARGV[1] && $ARGV[1] < 0.5 ? 0 : 1)' "$(kl int4)" "$(kl int4-plain)" || fail "calibrated int4 is no better"
  expect 0 "$OCC" decompress back.gguf -o int4-gguf --hf-type int4 --no-calibrate --quiet
  expect 0 "$OCC" compare int4-plain int4-gguf --json
  grep -q '"mse": 0.0,' out || fail "int4 from a GGUF is something else than from the folder"

  expect 2 "$OCC" decompress "$M" -o x.gguf --hf-type int4
  expect_error "expected a folder"
  expect 2 "$OCC" decompress "$M" -o x.gguf --gguf-type Q9
  expect_error "Q4_K_M"
  expect 2 "$OCC" decompress "$M" -o x --gguf-type Q4_0
  expect_error "named [*].gguf"
  expect 2 "$OCC" decompress "$M" -o x.gguf --no-calibrate
  make_fvecs v.fvecs 4 64
  expect 3 "$OCC" decompress v.fvecs -o x.gguf --gguf-type Q4_0
  expect_error "v.fvecs: expected a model"
  [ -z "$(find . -name 'x*' -o -name '*.tmp*' -o -name '*.part')" ] || fail "something was left behind"
fi

# One tensor is what it is.
expect 0 "$OCC" decompress g.occ -o one --tensor output_norm.weight
expect 0 "$OCC" inspect one
grep -q '^output_norm.weight ' out || fail "a single tensor was renamed"

# What has no place in the other form is named.
mkdir strange
cp "$M"/* strange
rm strange/model-f32.gguf
sed -i 's/"silu"/"gelu"/' strange/config.json
expect 3 "$OCC" decompress strange -o strange.gguf
expect_error "cannot be expressed in GGUF"
[ ! -e strange.gguf ] || fail "left a file behind"

# A configuration that does not fit its tensors: named from a folder and a GGUF, also by `compress`, which would make a file
# that cannot run.
edit_config() {  # folder $1, a copy of the model, with $2 key heads
  mkdir $1
  cp "$M"/*.json "$M/model.safetensors" $1
  sed -i "s/\"num_key_value_heads\": 4/\"num_key_value_heads\": $2/" $1/config.json
}
for heads in 8 2 1; do
  edit_config heads$heads $heads
  expect 3 "$OCC" decompress heads$heads -o heads.gguf
  expect_error "heads$heads.*k_proj.weight': expected shape"
  for command in "compress heads$heads -o c.occ --no-calibrate" "generate heads$heads --prompt x -n 1" \
    "evaluate heads$heads --text $DATA/text/tinystories_a.txt --max-tokens 128 --context 64" \
    "compress heads$heads -o c.occ --calibrate $DATA/text/tinystories_a.txt --calibration-tokens 128 --context 64"; do
    expect 3 "$OCC" $command
    expect_error "heads.*k_proj.weight': expected shape"
  done
  perl -0777 -pe 's/(llama\.attention\.head_count_kv\x04\0\0\0)\x04/$1 . chr('$heads')/e' "$M/model-f32.gguf" >heads$heads.gguf
  expect 3 "$OCC" decompress heads$heads.gguf -o heads
  expect_error "heads$heads.gguf.*attn_k.weight': expected shape"
done
[ ! -e heads ] && [ ! -e heads.gguf ] && [ ! -e c.occ ] || fail "left something behind"

# Two damaged bytes in a tensor that is kept as it is stop whatever uses it.
perl -e 'undef $/; $_ = <STDIN>; my $n = unpack "Q<", $_;
  my ($at) = substr($_, 8, $n) =~ /"model.norm.weight":\{[^}]*"data_offsets":\[(\d+)/;
  for my $byte (3, 41) { substr($_, 8 + $n + $at + $byte, 1) ^= "\x55" } print' <m.occ >damaged.occ
for command in 'generate damaged.occ --prompt x -n 1' 'decompress damaged.occ -o damaged' \
  'decompress damaged.occ -o damaged.gguf' "compare $M damaged.occ" 'compress damaged.occ -o again.occ' \
  "evaluate damaged.occ --text $DATA/text/tinystories_a.txt --max-tokens 128 --context 64" 'verify damaged.occ'; do
  expect 3 "$OCC" $command
  expect_error "damaged.occ: tensor 'model.norm.weight': its bytes do not match their checksum"
done
[ ! -e damaged ] && [ ! -e damaged.gguf ] && [ ! -e again.occ ] || fail "left something behind"
