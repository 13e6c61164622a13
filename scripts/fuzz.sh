#!/usr/bin/env bash
# Builds the fuzz targets with the address and undefined-behaviour sanitizers, from the same objects as
# scripts/sanitize.sh address, and runs each for some seconds over its seeds.
#   scripts/fuzz.sh [SECONDS-PER-TARGET=10] [SEED=1] [TARGET...]
# An input that crashes is left in build-fuzz/artifacts; run it again with build-asan/<target> <file>.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-10}
seed=${2:-1}
targets=("${@:3}")
if [[ ! $seconds =~ ^[0-9]+(\.[0-9]+)?$ || ! $seed =~ ^[0-9]+$ ]]; then
  echo "usage: scripts/fuzz.sh [SECONDS-PER-TARGET] [SEED] [TARGET...]" >&2
  exit 2
fi
if [[ ${#targets[@]} -eq 0 ]]; then
  for source in test/fuzz/fuzz_*.cc; do targets+=("$(basename "$source" .cc)"); done
fi

options=(-DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -DEMBEDCORE_ADDON=OFF)
options+=(-DEMBEDCORE_FUZZ=ON -DEMBEDCORE_SANITIZE=address,undefined,float-cast-overflow)
if ! log=$(cmake -S . -B build-asan -G Ninja "${options[@]}" 2>&1); then
  echo "$log" >&2
  exit 1
fi
cmake --build build-asan --target "${targets[@]}" -- --quiet

asan='abort_on_error=0:allocator_may_return_null=0:max_allocation_size_mb=256'
export ASAN_OPTIONS="$asan${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
failed=()
for target in "${targets[@]}"; do
  "build-asan/$target" --seconds "$seconds" --seed "$seed" --artifacts build-fuzz/artifacts \
    "test/fuzz/corpus/${target#fuzz_}" || failed+=("$target")
done
if [[ ${#failed[@]} -gt 0 ]]; then
  echo "fuzz: failed: ${failed[*]}; the inputs are in build-fuzz/artifacts" >&2
  exit 1
fi
