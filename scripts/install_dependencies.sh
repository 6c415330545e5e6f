#!/usr/bin/env bash
# Installs what building and testing need and this machine lacks: Debian packages, with sudo only where needed.
#   --check           only tell what is missing (exit status 1 if anything is)
#   --with-sanitizers also clang, for the sanitizer and fuzzing build, the format and clang-tidy of scripts/test.sh
#   --with-download   also what scripts/demo.sh needs to get its model
set -euo pipefail

packages=(
  g++ cmake ninja-build ccache pkg-config git
  libhwy-dev           # SIMD with run-time dispatch
  libtbb-dev           # threads
  libfmt-dev           # text
  libcli11-dev         # command line
  nlohmann-json3-dev   # JSON
  libxxhash-dev        # checksums
  libzstd-dev          # config and tokenizer files in archives
  libzip-dev           # .npz
  libpcre2-dev         # patterns of tokenizers need look-ahead
  libcpp-httplib-dev   # HTTP of occ serve
  libopenblas-dev liblapacke-dev  # linear algebra of encoders
  libgtest-dev libgmock-dev libbenchmark-dev
  python3 python3-numpy           # tests: the second decoder; the demo
  python3-dev python3-venv        # the Python package
)

check=0
for option in "$@"; do
  case $option in
    --check) check=1 ;;
    --with-sanitizers) packages+=(clang-14 libclang-rt-14-dev clang-format-14 clang-tidy-14) ;;
    --with-download) packages+=(python3-pip) ;;
    *) echo "error: unknown option $option" >&2; exit 2 ;;
  esac
done

command -v dpkg-query >/dev/null || { echo "error: expected a Debian-like system (no dpkg-query)" >&2; exit 1; }
missing=()
for p in "${packages[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null || true)" = installed ] || missing+=("$p")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "dependencies: nothing to install"
  exit 0
fi
echo "dependencies: missing ${missing[*]}"
[ $check -eq 0 ] || exit 1

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "error: installing needs root or sudo" >&2; exit 1; }
  as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
echo "dependencies: installed ${missing[*]}"
