#!/usr/bin/env bash
# occ index and occ search: neighbours as text and JSON, recall, candidates, and errors that name their files.
. "$(dirname "$0")/lib.sh"
make_fvecs x.fvecs 900 16
head -c $((68 * 7)) x.fvecs >q.fvecs # the first 7 vectors

expect 0 "$OCC" index x.fvecs -o x.occ --method 'pq(k=16)' --bytes 4
grep -q '900 vectors of dimension 16' out && grep -q 'searched as 8 codes of 4 bits' out || fail "index: $(cat out)"
expect 0 "$OCC" verify x.occ
expect 0 "$OCC" search x.occ q.fvecs -k 3
[ "$(grep -cE '^[0-6]: [0-9]+ \([^)]+\) [0-9]+ \([^)]+\) [0-9]+ \([^)]+\)$' out)" = 7 ] || fail "search: $(cat out)"
expect 0 "$OCC" search x.occ q.fvecs -k 3 --json
tr -d ' \n' <out | grep -qE '^\{"ids":\[(\[[0-9]+,[0-9]+,[0-9]+\],?){7}\],"distances":\[(\[[0-9.e,-]+\],?){7}\],"metric":"l2","vectors":900,' ||
  fail "--json: $(cat out)"

# Every vector is nearest to itself in the originals, and after ranking by them.
expect 0 "$OCC" search x.fvecs q.fvecs -k 1
for i in 0 6; do grep -q "^$i: $i (0)$" out || fail "exact: $(cat out)"; done
expect 0 "$OCC" search x.occ q.fvecs -k 1 --rerank x.fvecs --candidates 100
grep -q '^6: 6 (0)$' out || fail "--rerank: $(cat out)"
perl -e 'print pack("l<l<", 1, $_) for 0 .. 6' >truth.ivecs
expect 0 "$OCC" search x.fvecs q.fvecs -k 1 --truth truth.ivecs --quiet
[ "$(cat out)" = 'recall@1 1' ] || fail "--truth: $(cat out)"
expect 0 "$OCC" search x.occ q.fvecs --originals x.fvecs --metric cosine --json
grep -q '"recall": 0\.' out || fail "--originals: $(cat out)"
expect 0 "$OCC" search x.occ q.fvecs -k 2000 --more x.fvecs --metric ip --json
grep -q '"vectors": 1800' out || fail "--more: $(cat out)"
expect 0 "$OCC" index x.fvecs -o y.occ --method turbo --bits 2
expect 0 "$OCC" search y.occ q.fvecs -k 1
grep -q 'decoded by tile' out || fail "turbo: $(cat out)"

make_fvecs wide.fvecs 3 17
expect 3 "$OCC" search x.occ wide.fvecs
expect_error 'wide.fvecs: expected queries of dimension 16, found 17'
expect 3 "$OCC" search x.occ q.fvecs --rerank wide.fvecs
expect_error 'wide.fvecs: expected 900 vectors of dimension 16'
expect 3 "$OCC" search x.occ q.fvecs --truth x.fvecs
expect_error 'x.fvecs: expected the true neighbours of 7 queries'
perl -e 'print pack("l<l<", 1, 900) for 0 .. 6' >truth.ivecs
expect 3 "$OCC" search x.occ q.fvecs --truth truth.ivecs
expect_error 'truth.ivecs: expected numbers of vectors below 900, found 900'
: >empty.fvecs
expect 3 "$OCC" search x.occ empty.fvecs
expect_error 'empty.fvecs'
expect 2 "$OCC" search x.occ q.fvecs -k 0
expect 2 "$OCC" search x.occ q.fvecs --metric l1
expect 2 "$OCC" search x.occ q.fvecs --candidates 20
expect 2 "$OCC" search x.occ q.fvecs -k 10 --rerank x.fvecs --candidates 5
expect_error 'candidates: expected at least -k 10'
expect 2 "$OCC" index x.fvecs -o z.occ --bits 1 --bytes 3
expect 2 "$OCC" index x.fvecs -o z.occ --bytes 0
expect 1 "$OCC" index x.fvecs -o x.occ
head -c 3000 x.occ >cut.occ
expect 3 "$OCC" search cut.occ q.fvecs
expect_error 'cut.occ'
echo ok
