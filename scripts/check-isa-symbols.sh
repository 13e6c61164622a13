#!/usr/bin/env bash
# Objects compiled for AVX2 or AVX-512 may define nothing outside their namespace. The linker keeps one copy of an
# inline function such as std::min; if it kept theirs, an older processor would stop with an illegal instruction.
# scripts/check-isa-symbols.sh [BUILD-DIRECTORY]     an existing CMake build, or build-isa, which is created
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
directory=${1:-$root/build-isa}

if [[ ! -f $directory/CMakeCache.txt ]]; then
  cmake -S "$root" -B "$directory" -G Ninja -DEMBEDCORE_ADDON=OFF >/dev/null
fi
cmake --build "$directory" --target embedcore_core >/dev/null

leaks=0 objects=0
for isa in avx2 avx2vnni avx512 avx512vnni avx512bf16; do
  objects_of_isa=$directory/CMakeFiles/embedcore_$isa.dir
  [[ -d $objects_of_isa ]] || continue
  while IFS= read -r object; do
    objects=$((objects + 1))
    # Symbols with upper-case kinds and u, v, w are visible to other objects; kBackend is the table of the instruction
    # set.
    if symbols=$(nm -C --defined-only "$object" | grep -E '^[0-9a-f]+ [A-Zuvw] ' |
      grep -v "embedcore::cpu::$isa::"); then
      echo "check-isa-symbols: $isa defines in $(basename "$object"):" >&2
      echo "$symbols" >&2
      leaks=$((leaks + 1))
    fi
  done < <(find "$objects_of_isa" -name '*.o')
done
if [[ $objects -eq 0 ]]; then
  if [[ $(uname -m) == x86_64 ]]; then
    echo "check-isa-symbols: no objects found under $directory" >&2
    exit 1
  fi
  echo "check-isa-symbols: only the plain instruction set is compiled for this processor; nothing to check"
  exit 0
fi
if [[ $leaks -gt 0 ]]; then
  echo "check-isa-symbols: $leaks of $objects objects leak symbols" >&2
  exit 1
fi
echo "check-isa-symbols: $objects objects define nothing outside their namespace"
