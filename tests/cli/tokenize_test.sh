#!/usr/bin/env bash
# occ tokenize: ids of a text with the tokenizer of a model of any format, of a tokenizer.json and of a vocabulary.
. "$(dirname "$0")/lib.sh"
T=$SOURCE/tests/expected/tokenizers

expect 0 "$OCC" tokenize "$T/bert_uncased.json" --prompt 'A [SEP] a'
[ "$(cat out)" = '1 35 2 35 2' ] || fail "ids: $(cat out)"
expect 0 "$OCC" tokenize "$T/bert_uncased.json" --prompt 'A [SEP] a' --no-special
grep -q '^35 .* 35$' out && [ "$(wc -w <out)" -gt 4 ] || fail "--no-special: $(cat out)"
printf 'A [SEP] a' >text
expect 0 "$OCC" tokenize "$T/bert_uncased.json" --text text --json
tr -d ' \n' <out | grep -qx '{"tokens":\[1,35,2,35,2\]}' || fail "--json: $(cat out)"
expect 0 "$OCC" tokenize "$T/llama3.json" --prompt ''
[ "$(wc -c <out)" = 1 ] || fail "an empty text has ids"

expect 2 "$OCC" tokenize "$T/llama3.json"
expect 2 "$OCC" tokenize "$T/llama3.json" --prompt x --text text
expect 2 "$OCC" tokenize
expect 3 "$OCC" tokenize "$T/llama3.json" --text nosuch
expect 3 "$OCC" tokenize nosuch --prompt x
make_fvecs x.fvecs 10 8
expect 3 "$OCC" tokenize x.fvecs --prompt x
expect_error 'expected a tokenizer'
echo '{"model": {"type": "Unigram", "vocab": {}}}' >unigram.json
expect 3 "$OCC" tokenize unigram.json --prompt x
expect_error "unigram.json: [$].model.type: expected BPE or WordPiece, found 'Unigram'"
no_trace 'text|x.fvecs|unigram.json'

[ -d "$DATA/models/stories260k" ] || skip "test data not found: $DATA"
M=$DATA/models/stories260k
expect 0 "$OCC" tokenize "$M" --prompt 'Once upon a time'
ids=$(cat out)
[ "$(echo "$ids" | cut -d' ' -f1)" = 1 ] || fail "no BOS: $ids"
expect 0 "$OCC" compress "$M" -o m.occ --bits 4 --no-calibrate --no-verify
for model in "$M/model-f32.gguf" "$M/tokenizer.json" m.occ; do
  expect 0 "$OCC" tokenize "$model" --prompt 'Once upon a time'
  [ "$(cat out)" = "$ids" ] || fail "$model: $(cat out) instead of $ids"
done
expect 0 "$OCC" tokenize "$DATA/tokenizers/ggml-vocab-gpt-2.gguf" --prompt 'Hello world'
[ "$(cat out)" = '15496 995' ] || fail "vocabulary only: $(cat out)"
