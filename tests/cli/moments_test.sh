#!/usr/bin/env bash
# Second moments of the inputs: --activations and --hessian lower the error of the outputs; inspect tells how far it is
# from the limit; what does not fit is refused or reported.
. "$(dirname "$0")/lib.sh"
make_fvecs w.fvecs 400 96

# Input vectors: neighbours correlate, power falls. $2 of them with $3 columns; column 1 of row $4 is NaN.
make_inputs() {
  perl -e 'srand(5); my ($rows, $cols, $bad) = @ARGV;
    for my $r (1 .. $rows) {
      my ($last, @x) = (0);
      for my $c (1 .. $cols) {
        my $noise = -6; $noise += rand() for 1 .. 12;
        $last = 0.9 * $last + $noise;
        push @x, $last * exp(-2 * $c / $cols);
      }
      $x[0] = "nan" if $r == $bad;
      print pack("l<f<*", $cols, @x);
    }' "$2" "$3" "$4" >"$1"
}
make_inputs x.fvecs 500 96 0
make_inputs wide.fvecs 20 97 0
make_inputs nan.fvecs 500 96 43

json() { grep -o "\"$1\": [-0-9.e+]*" | head -1 | cut -d' ' -f2; }
less() { perl -e 'exit !($ARGV[0] < $ARGV[1])' "$1" "$2" || fail "$3: $1 is not below $2"; }

expect 0 "$OCC" compress w.fvecs -o plain.occ --bits 3
expect 0 "$OCC" compress w.fvecs -o fed.occ --bits 3 --activations x.fvecs
expect 0 "$OCC" compare w.fvecs plain.occ --activations x.fvecs --json
plain=$(json weighted_nmse <out)
expect 0 "$OCC" compare w.fvecs fed.occ --activations x.fvecs --json
fed=$(json weighted_nmse <out)
less "$fed" "$(perl -e "print 0.7 * $plain")" "feedback"
expect 0 "$OCC" compare w.fvecs fed.occ --activations x.fvecs
grep -q 'weighted nmse' out || fail "compare has no column for the weighted error"
expect 0 "$OCC" compare w.fvecs plain.occ --cosines --json
grep -q '"recall_at_10"' out || fail "compare --cosines gives no recall"
expect 0 "$OCC" compare w.fvecs plain.occ --cosines
grep -q 'recall' out || fail "compare has no column for the recall"

expect 0 "$OCC" inspect fed.occ --limits --json
for key in weighted_error weighted_limit_bpw weighted_gap_bits weighted_gap_db limit_bpw; do
  [ -n "$(json $key <out)" ] || fail "inspect --limits --json lacks $key"
done
grep -q '"total": {' out || fail "inspect --limits --json has no total"
less 0 "$(json weighted_gap_bits <out)" "the gap to the weighted limit"
expect 0 "$OCC" inspect fed.occ --limits
grep -q 'weighted error' out && grep -q 'coded tensors' out || fail "inspect --limits"
expect 0 "$OCC" inspect plain.occ --limits
! grep -q 'weighted error' out || fail "a weighted error from nowhere"
expect 0 "$OCC" verify fed.occ

# Any recipe; the damping is then fixed.
expect 0 "$OCC" compress w.fvecs -o r.occ --recipe 'pca(of=hessian) > uniform(bits=3) > rans' --activations x.fvecs
expect 0 "$OCC" verify r.occ

# What does not fit.
expect 3 "$OCC" compress w.fvecs -o y.occ --activations wide.fvecs
expect_error 'of width 97, found tensors with 96 columns'
expect 3 "$OCC" compress w.fvecs -o y.occ --activations nan.fvecs
expect_error "nan.fvecs: tensor 'nan'.*found -\?nan at row 42, column 0"
expect 3 "$OCC" compress w.fvecs -o y.occ --hessian x.fvecs
expect_error "like 'w', found those of 'x'"
expect 3 "$OCC" compare w.fvecs fed.occ --activations wide.fvecs
expect_error 'width of a tensor (96), found 97'
expect 2 "$OCC" compress w.fvecs -o y.occ --activations ''
expect 3 "$OCC" compress w.fvecs -o y.occ --activations nosuch.npy
[ ! -e y.occ ] && [ ! -e y.occ.part ] || fail "left something behind"

# A matrix for every tensor, by name; the tensor of w.fvecs is 'w'.
perl -e '
  my ($rows, $cols) = (96, 96);
  my $size = $rows * $cols * 4;
  my $json = "{\"w\":{\"dtype\":\"F32\",\"shape\":[96,96],\"data_offsets\":[0,$size]},\"z\":{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[$size," . ($size + 4) . "]}}";
  print pack("Q<", length $json), $json;
  for my $i (1 .. 96) { print pack("f<*", map { 0.9 ** abs($i - $_) } 1 .. 96) }
  print pack("f<", 1);' >h.safetensors
expect 0 "$OCC" compress w.fvecs -o h.occ --hessian h.safetensors --activations x.fvecs
grep -q 'belong to no coded tensor: z' out || fail "no word on an unused matrix"
expect 0 "$OCC" compress w.fvecs -o h.occ --hessian h.safetensors --activations x.fvecs --dry-run --force
grep -q 'belong to no coded tensor: z' out || fail "a dry run has no word on an unused matrix"
expect 0 "$OCC" inspect h.occ --limits --json
[ -n "$(json weighted_error <out)" ] || fail "--hessian was not used"

# --resume knows the files of second moments: with others it starts again.
mkdir y.occ.part
expect 0 "$OCC" compress w.fvecs -o y.occ --activations x.fvecs --resume
expect 0 "$OCC" compress w.fvecs -o z.occ --activations x.fvecs
cmp y.occ z.occ
