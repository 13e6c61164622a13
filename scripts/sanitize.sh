#!/usr/bin/env bash
# Builds core, tests and addon with a sanitizer and runs what can run under it.
#   scripts/sanitize.sh address|thread [GTEST-FILTER]
# Needs libgtest-dev. The addon is built where node_modules has the Node headers; then every test/abuse/*.mjs runs in
# plain node with the sanitizer's library preloaded and EMBEDCORE_ADDON naming the sanitized addon.
# The address sanitizer takes the tests themselves as scripts/test-native.cjs compiles them: it looks at the
# package, and 75 more files with its code would only take longer to compile.
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
# there. Only these are built, and one instruction set beside the plain one: threads share work alike in all of them.
suites="Call CallQueue WorkerPool SliceJob Registry Engine LetGo DeviceModel FakeDevices RopeTable MappedFile"
# The other sets have the addresses of these.
isas="avx2;avx512;avx512vnni"
sources="test/native/*_test.cc"
filter=${2:-*}
if [[ $1 == thread && $# == 1 ]]; then
  isas=avx2 sources='' filter=''
  for suite in $suites; do
    file=$(grep -lE "^TEST(_F|_P)?\($suite," test/native/*_test.cc) || {
      echo "sanitize: there are no tests of $suite any more: change the list in $0" >&2
      exit 1
    }
    sources="$sources;$file" filter="$filter:$suite.*"
  done
  sources=$(tr ';\n' '\n\n' <<<"$sources" | sort -u | sed '/^$/d' | paste -sd ';') filter=${filter#:}
fi

test_objects=''
if [[ $1 == address ]]; then
  test_objects=$PWD/build-cmake
  cmake -S . -B "$test_objects" -G Ninja -DEMBEDCORE_TESTS=ON >/dev/null
  cmake --build "$test_objects" --target embedcore_native_tests -- --quiet
fi

addon=OFF
includes=()
if node_api=$(node -p "require('node-api-headers').include_dir" 2>/dev/null) &&
  addon_api=$(node -p "require('node-addon-api').include_dir" 2>/dev/null); then
  addon=ON
  includes=("-DEMBEDCORE_NODE_API_INCLUDE=$node_api" "-DEMBEDCORE_NODE_ADDON_API_INCLUDE=$addon_api")
fi
cmake -S . -B "$directory" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 \
  "-DEMBEDCORE_SANITIZE=$flags" "-DEMBEDCORE_ISAS=$isas" -DEMBEDCORE_TESTS=ON "-DEMBEDCORE_TEST_SOURCES=$sources" \
  "-DEMBEDCORE_TEST_OBJECTS=$test_objects" "-DEMBEDCORE_ADDON=$addon" "${includes[@]}" >/dev/null

# Wrong addresses and undefined behaviour are found at the edges of tiles, which small cases have too.
export EMBEDCORE_TEST_MOST_COST=${EMBEDCORE_TEST_MOST_COST:-5e5}
export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
cmake --build "$directory" --target embedcore_native_tests -- --quiet
# Half of the tests in each of two processes.
running=()
for share in 0 1; do
  # What the C++ tests do on purpose, such as asking for more memory than there is, must come back as bad_alloc, not end
  # the process.
  ASAN_OPTIONS="allocator_may_return_null=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}" \
  TSAN_OPTIONS="halt_on_error=1:allocator_may_return_null=1${TSAN_OPTIONS:+:$TSAN_OPTIONS}" \
  GTEST_TOTAL_SHARDS=2 GTEST_SHARD_INDEX=$share \
    "$directory/embedcore_native_tests" --gtest_brief=1 "--gtest_filter=$filter" &
  running+=($!)
done
status=0
for process in "${running[@]}"; do wait "$process" || status=$?; done
[[ $status == 0 ]] || exit "$status"

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
run_script() {
  # GCC 12's thread sanitizer takes what lies before a thread-local block for glibc 2.19's header whenever the block
  # begins 16 bytes into a page, and dies of the garbage there; it sees the blocks' malloc and free anyway.
  # node and V8 keep memory until the process ends, so their own leaks are silenced by name; ours are not.
  local tsan='ignore_noninstrumented_modules=1:halt_on_error=1:intercept_tls_get_addr=0'
  EMBEDCORE_ADDON="$PWD/$directory/embedcore.node" LD_PRELOAD="$preload" \
  ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}" \
  LSAN_OPTIONS="suppressions=$PWD/test/abuse/lsan.supp:print_suppressions=0" \
  TSAN_OPTIONS="$tsan${TSAN_OPTIONS:+:$TSAN_OPTIONS}" \
    node --expose-gc "$1"
}
# Every second script in each of two lanes. What a script prints is shown when it has ended.
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
lane() {
  local at name result
  for ((at = $1; at < ${#scripts[@]}; at += 2)); do
    name=$(basename "${scripts[at]}") result=''
    run_script "${scripts[at]}" >"$logs/$name.log" 2>&1 || { result=' FAILED' && touch "$logs/$name.failed"; }
    { echo "sanitize: ${scripts[at]}$result" && cat "$logs/$name.log"; } >"$logs/$name.shown"
    cat "$logs/$name.shown"
  done
}
lane 0 &
lane 1
wait
if compgen -G "$logs/*.failed" >/dev/null; then
  echo "sanitize: failed: $(cd "$logs" && echo ./*.failed)" >&2
  exit 1
fi
