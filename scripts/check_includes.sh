#!/bin/sh
# A folder of src/ may include only folders listed above it (the list is in docs/overview.md); those on one line are siblings and
# never include each other. Prints every violation.
set -eu
cd "$(dirname "$0")/../src"
order='base
simd
tensor
linalg
io
metrics
transforms quantization entropy
recipe
container
compress
operators
search
tokenizer
chat
model
evaluation
calibration
report
server
cli'
level() { echo "$order" | awk -v f="$1" '{ for (i = 1; i <= NF; i++) if ($i == f) print NR }'; }
bad=0
for folder in */; do
  folder=${folder%/}
  own=$(level "$folder")
  [ -n "$own" ] || { echo "src/$folder is not in the folder order"; bad=1; continue; }
  for other in $(grep -hoE '^#include "[a-z_]+/' "$folder"/*.h "$folder"/*.cc 2>/dev/null |
                 sed -E 's/.*"([a-z_]+)\//\1/' | sort -u); do
    [ "$other" != "$folder" ] && [ "$other" != occ ] && [ "$other" != hwy ] || continue
    theirs=$(level "$other")
    if [ -z "$theirs" ] || [ "$theirs" -ge "$own" ]; then
      # Tests may look anywhere below the binary's own link line.
      files=$(grep -lE "^#include \"$other/" "$folder"/*.h "$folder"/*.cc 2>/dev/null | grep -v '_test\.cc$' || true)
      [ -z "$files" ] || { echo "$files: src/$folder may not include src/$other"; bad=1; }
    fi
  done
done
exit $bad
