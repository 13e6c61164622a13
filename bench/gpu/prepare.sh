#!/usr/bin/env bash
# Builds what bench/gpu/run.sh needs and gathers it in bench/gpu/kit, on a machine without a GPU: nvcc (CUDA 12.8 or
# later), a C++20 compiler, CMake, Ninja and googletest (Debian: libgtest-dev).
#   EMBEDCORE_CUDA_ARCHS   compute capabilities to build for, such as 80,90a (default 90a)
#   JOBS                   compilers at a time (default: all cores)
# The folder works on its own, wherever it is copied: kit/run.sh.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build="$root/build-gpu-kit"
kit="$here/kit"
archs=${EMBEDCORE_CUDA_ARCHS:-90a}
most_mib=60

nvcc=${CUDACXX:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
if [ ! -x "$nvcc" ]; then
  echo "prepare: nvcc was not found; CUDACXX names it" >&2
  exit 1
fi
# The other machine may have an older C++ library.
static="-static-libstdc++ -static-libgcc"
mkdir -p "$build"
cc -O2 -c "$here/older_glibc.c" -o "$build/older_glibc.o"
CUDACXX="$nvcc" cmake -S "$root" -B "$build" -G Ninja \
  -DEMBEDCORE_ADDON=OFF -DEMBEDCORE_TESTS=ON -DEMBEDCORE_BENCH=ON -DEMBEDCORE_CUDA=ON \
  "-DEMBEDCORE_CUDA_ARCHS=${archs//,/;}" -DEMBEDCORE_CUDA_PTX= \
  "-DEMBEDCORE_TEST_SOURCES=test/native/op_*_test.cc;test/native/ops_*_test.cc" \
  "-DCMAKE_EXE_LINKER_FLAGS=$static $build/older_glibc.o" \
  "-DCMAKE_MODULE_LINKER_FLAGS=$static" >"$root/build-gpu-kit.log" 2>&1 ||
  { cat "$root/build-gpu-kit.log" >&2; exit 1; }
cmake --build "$build" ${JOBS:+-j "$JOBS"} \
  --target embedcore_cuda embedcore_native_tests embedcore_gpu embedcore_gpu_bits
rm -f "$root/build-gpu-kit.log"

rm -rf "$kit"
mkdir -p "$kit"
cp "$build/embedcore_native_tests" "$build/embedcore_gpu" "$build/cuda/embedcore_gpu_bits" \
  "$build/cuda/libembedcore_cuda.so" "$kit/"
strip --strip-unneeded "$kit"/embedcore_* "$kit/libembedcore_cuda.so"
cp -r "$root/test/golden/models" "$kit/golden"
cp "$here"/run.sh "$here"/*.py "$kit/"
commit=$(git -C "$root" rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
if [ -n "$(git -C "$root" status --porcelain 2>/dev/null)" ]; then commit="$commit-changed"; fi
printf '{"commit":"%s","archs":"%s","nvcc":"%s","compiler":"%s"}\n' "$commit" "$archs" \
  "$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')" \
  "$(c++ --version | head -n 1 | tr -d '"\\')" >"$kit/kit.json"

mib=$(du -sm "$kit" | cut -f 1)
echo "prepare: $kit, $mib MiB, commit $commit, for $archs"
if [ "$mib" -gt "$most_mib" ]; then
  echo "prepare: the folder is larger than $most_mib MiB" >&2
  exit 1
fi
