#!/usr/bin/env bash
# Builds core, tests and addon with a sanitizer and runs what can run under it.
#   scripts/sanitize.sh address|thread [GTEST-FILTER]
# Needs libgtest-dev. The addon is built where node_modules has the Node headers; then every test/abuse/*.mjs runs in
# plain node with the sanitizer's library preloaded and EMBEDCORE_ADDON naming the sanitized addon.
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in
  address) directory=build-asan flags=address,undefined,float-cast-overflow library=libasan.so ;;
  thread) directory=build-tsan flags=thread library=libtsan.so ;;
  *)
    echo "usage: scripts/sanitize.sh address|thread [GTEST-FILTER]" >&2
    exit 2
    ;;
esac
# The thread sanitizer runs the tests that have threads of their own; the others say nothing about races and are slow
# there.
threaded="Call.*:CallQueue.*:WorkerPool.*:SliceJob.*:Registry.*:Engine.*:LetGo.*:DeviceModel.*:FakeDevices.*:RopeTable.*:MappedFile.*"
filter=${2:-}
if [[ -z $filter ]]; then
  [[ $1 == address ]] && filter="*" || filter=$threaded
fi

addon=OFF
includes=()
if node_api=$(node -p "require('node-api-headers').include_dir" 2>/dev/null) && addon_api=$(node -p "require('node-addon-api').include_dir" 2>/dev/null); then
  addon=ON
  includes=("-DEMBEDCORE_NODE_API_INCLUDE=$node_api" "-DEMBEDCORE_NODE_ADDON_API_INCLUDE=$addon_api")
fi
cmake -S . -B "$directory" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1" "-DEMBEDCORE_SANITIZE=$flags" -DEMBEDCORE_TESTS=ON "-DEMBEDCORE_ADDON=$addon" "${includes[@]}" >/dev/null

export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
if [[ -n $filter ]]; then
  cmake --build "$directory" --target embedcore_native_tests -- --quiet
  # What the C++ tests do on purpose, such as asking for more memory than there is, must come back as bad_alloc, not end
  # the process.
  ASAN_OPTIONS="allocator_may_return_null=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}" \
  TSAN_OPTIONS="halt_on_error=1:allocator_may_return_null=1${TSAN_OPTIONS:+:$TSAN_OPTIONS}" \
    "$directory/embedcore_native_tests" --gtest_brief=1 "--gtest_filter=$filter"
fi

if [[ $addon == OFF ]]; then
  echo "sanitize: the addon was not built (npm ci brings the Node headers); the abuse scripts are skipped"
  exit 0
fi
cmake --build "$directory" --target embedcore_addon -- --quiet
shopt -s nullglob
scripts=(test/abuse/*.mjs)
if [[ ${#scripts[@]} -eq 0 ]]; then
  echo "sanitize: test/abuse holds no scripts"
  exit 0
fi
compiler=${CXX:-g++}
preload=$("$compiler" -print-file-name=$library)
failed=()
for script in "${scripts[@]}"; do
  echo "sanitize: $script"
  # GCC 12's thread sanitizer takes what lies before a thread-local block for glibc 2.19's header whenever the block
  # begins 16 bytes into a page, and dies of the garbage there; it sees the blocks' malloc and free anyway.
  # node and V8 keep memory until the process ends, so their own leaks are silenced by name; ours are not.
  EMBEDCORE_ADDON="$PWD/$directory/embedcore.node" LD_PRELOAD="$preload" \
  ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}" LSAN_OPTIONS="suppressions=$PWD/test/abuse/lsan.supp:print_suppressions=0" \
  TSAN_OPTIONS="ignore_noninstrumented_modules=1:halt_on_error=1:intercept_tls_get_addr=0${TSAN_OPTIONS:+:$TSAN_OPTIONS}" \
    node --expose-gc "$script" || failed+=("$script")
done
if [[ ${#failed[@]} -gt 0 ]]; then
  echo "sanitize: failed: ${failed[*]}" >&2
  exit 1
fi
