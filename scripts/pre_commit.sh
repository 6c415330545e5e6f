#!/usr/bin/env bash
# The checks that take seconds: format, folder order, length of files. scripts/test.sh begins with them, and as a hook of git they
# stand before every commit:
#   ln -s ../../scripts/pre_commit.sh .git/hooks/pre-commit
set -euo pipefail
cd "$(git rev-parse --show-toplevel)"

status=0
if command -v clang-format-14 >/dev/null; then
  git ls-files '*.cc' '*.h' | xargs clang-format-14 --dry-run --Werror || status=1
else
  echo "note: no clang-format-14, the format is not checked" >&2
fi
scripts/check_includes.sh || status=1

# Longer files hold more than one thing.
longest=450
while read -r lines file; do
  [ "$lines" -le $longest ] || { echo "$file has $lines lines, expected at most $longest" >&2; status=1; }
done < <(git ls-files '*.cc' '*.h' '*.py' '*.sh' '*.cmake' CMakeLists.txt | xargs wc -l | grep -v ' total$')
exit $status
