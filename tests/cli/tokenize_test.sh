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
expect_error "unigram.json: [$].model.vocab: expected a list with scores"

# Conversations: the text of the model's template and its tokens, without a second BOS.
mkdir chat
cp "$T/llama3.json" chat/tokenizer.json
begin='<|a|>'
cat >chat/tokenizer_config.json <<EOF
{"bos_token": "$begin", "chat_template": "{{ bos_token }}{% for m in messages %}{{ m.content }};{% endfor %}{% if tools %}{{ tools | tojson }}{% endif %}{{ 'A:' if add_generation_prompt }}"}
EOF
echo '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]' >list.json
echo '{"messages": [{"role": "user", "content": "a"}], "tools": [{"z": 1, "a": "ü"}]}' >tools.json
expect 0 "$OCC" tokenize chat/tokenizer.json --messages list.json --json
grep -qF "\"text\": \"${begin}a;b;A:\"" out || fail "--messages: $(cat out)"
expect 0 "$OCC" tokenize chat/tokenizer.json --messages list.json
ids=$(cat out)
expect 0 "$OCC" tokenize chat/tokenizer.json --prompt "${begin}a;b;A:"
[ "$(cat out)" = "$ids" ] || fail "--messages: $ids instead of $(cat out)"
expect 0 "$OCC" tokenize chat/tokenizer.json --messages tools.json --json
grep -qF 'a;[{\"z\": 1, \"a\": \"ü\"}]A:' out || fail "tools: $(cat out)"
expect 3 "$OCC" tokenize "$T/llama3.json" --messages list.json
expect_error 'no chat template'
echo '{"role": "user"}' >wrong.json
expect 3 "$OCC" tokenize chat/tokenizer.json --messages wrong.json
expect_error 'wrong.json: expected a list of messages'
expect 2 "$OCC" tokenize chat/tokenizer.json --messages list.json --no-special
expect 2 "$OCC" tokenize chat/tokenizer.json --messages list.json --prompt x
no_trace 'text|x.fvecs|unigram.json|chat|list.json|tools.json|wrong.json'

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
