#!/usr/bin/env bash
# clang-tidy with the checks of .clang-tidy on the lines that changed: a run over the whole tree takes a quarter of an hour of
# processor time, which CI does not have.
#   scripts/tidy.sh [BASE]   BASE: the commit to compare with, HEAD^ if not given
set -euo pipefail
cd "$(dirname "$0")/.."
base=${1:-HEAD^}
git rev-parse --quiet --verify "$base^{commit}" >/dev/null || { echo "note: there is no commit $base, nothing for clang-tidy"; exit 0; }
# Its own folder, which is configured and not built: every file has a command there, and no header is precompiled.
cmake --preset sanitize -B build-tidy -DOCC_JOIN=OFF -DOCC_PRECOMPILE=OFF -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON >/dev/null
out=$(git diff -U0 --diff-filter=d "$base" -- '*.cc' | clang-tidy-diff-14.py -p1 -path build-tidy -j "$(nproc)" -quiet)
if grep -qE '(warning|error):' <<<"$out"; then
  echo "$out"
  exit 1
fi
