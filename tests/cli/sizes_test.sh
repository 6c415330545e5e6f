#!/usr/bin/env bash
# Exact file sizes of a fixed corpus, so that a change of the ratio is a reviewed line. OCC_UPDATE_SIZES=1 rewrites them.
. "$(dirname "$0")/lib.sh"
make_fvecs a.fvecs 2000 256
make_fvecs b.fvecs 300 331
expected=$SOURCE/tests/golden/sizes.csv
{
  echo 'input,recipe,bytes'
  for input in a b; do
    while read -r recipe; do
      "$OCC" compress $input.fvecs -o x.occ --recipe "$recipe" --force --no-sync --quiet
      echo "$input,\"$recipe\",$(stat -c %s x.occ)"
    done <<'R'
uniform > bitpack
uniform(bits=3, group=64, zero=asymmetric) > bitpack
uniform(bits=3) > rans
uniform(bits=8, per=tensor, clip=absmax) > rans
lloyd(bits=2) > bitpack
lloyd(bits=3, codebook=fitted) > rans
signs > hadamard > uniform(bits=2) > rans
dct(block=64) > uniform(bits=3) > rans(tables=4)
uniform(bits=2) > bitpack + uniform(bits=2) > rans
split(rows=100) > { head: uniform(bits=3) > bitpack ; tail: uniform(bits=2) > bitpack }
trellis > rans(tables=64)
rowscale > trellis(states=256, step=0.3) > rans
R
  done
} >sizes.csv
if [ "${OCC_UPDATE_SIZES:-0}" = 1 ]; then cp sizes.csv "$expected"; fi
diff -u "$expected" sizes.csv || fail "sizes changed"
