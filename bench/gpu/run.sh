#!/usr/bin/env bash
# Tests and measures the CUDA backend on this machine's first GPU with what bench/gpu/prepare.sh has gathered. Needs
# bash and the NVIDIA driver; the peers and the table need Python (with PyTorch for the peers).
#
#   run.sh [STEP...]     all steps by default: facts limits ops bits golden linear attention encode cpu sanitize
#
#   OUT        folder of the results (bench/gpu/out)      KIT    folder of prepare.sh (bench/gpu/kit)
#   SECONDS_IN_ALL   no step goes on longer (570)         PYTHON (python3)
#   BACKEND, BITS    other builds of the library and of embedcore_gpu_bits, for a trial on the emulator
#   TINY=1     small shapes and few samples, for a trial without a GPU; DEVICE=cpu then runs PyTorch there
#
# Every step has a time limit, and its output is in $OUT before the next begins: STEP.out (JSON lines, or what a tool
# prints) and STEP.log (stderr). A step that fails does not stop the next. Exit code 0 if all steps ended with 0.
set -u
here=$(cd "$(dirname "$0")" && pwd)
KIT=${KIT:-$([ -f "$here/kit.json" ] && echo "$here" || echo "$here/kit")}
OUT=${OUT:-$here/out}
PYTHON=${PYTHON:-python3}
BACKEND=${BACKEND:-$KIT/libembedcore_cuda.so}
BITS=${BITS:-$KIT/embedcore_gpu_bits}
DEVICE=${DEVICE:-cuda}
SECONDS_IN_ALL=${SECONDS_IN_ALL:-570}
tiny=${TINY:+--tiny}
gpu="$KIT/embedcore_gpu"
[ -f "$KIT/kit.json" ] || { echo "run: $KIT has no kit; bench/gpu/prepare.sh makes one" >&2; exit 2; }
mkdir -p "$OUT" || exit 2
rm -f "$OUT"/*.out "$OUT"/*.log "$OUT"/steps.jsonl
cp "$KIT/kit.json" "$OUT/kit.json"
cores=$(nproc)
# Generated models go where writing is fast and there is room.
folder=${TMPDIR:-/tmp}
[ -w /dev/shm ] && [ "$(df -Pm /dev/shm | awk 'NR == 2 { print $4 }')" -gt 20000 ] && folder=/dev/shm
steps=" $* "
failed=0
SECONDS=0

# step NAME LIMIT COMMAND...: runs the command for LIMIT seconds at most, or for what is left.
step() {
  local name=$1 limit=$2 left=$((SECONDS_IN_ALL - SECONDS)) began=$SECONDS code
  shift 2
  if [ "$steps" != "  " ] && [[ "$steps" != *" ${name%%-*} "* ]]; then return; fi
  [ "$limit" -gt "$left" ] && limit=$left
  if [ "$limit" -lt 5 ]; then
    echo "run: $name is left out, the time is over"
    echo "{\"step\":\"$name\",\"leftOut\":\"the time was over\"}" >>"$OUT/steps.jsonl"
    failed=1
    return
  fi
  LIMIT=$limit timeout -k 5 "$limit" "$@" >"$OUT/$name.out" 2>"$OUT/$name.log"
  code=$?
  [ "$code" -eq 0 ] || failed=1
  echo "{\"step\":\"$name\",\"code\":$code,\"seconds\":$((SECONDS - began)),\"limit\":$limit}" >>"$OUT/steps.jsonl"
  echo "run: $name ended with $code after $((SECONDS - began)) s of $limit s"
}

# The runner and the scripts end by themselves a little before their limit.
runner() { "$gpu" "$1" --backend "${2:-$BACKEND}" --seconds "$((LIMIT > 20 ? LIMIT - 10 : LIMIT / 2))" $tiny "${@:3}"; }
peer() {
  if ! command -v "$PYTHON" >/dev/null || ! "$PYTHON" -c "$HAS_TORCH"; then
    echo '{"kernel":"torch","leftOut":"PyTorch is not installed"}'
    return
  fi
  PYTHONDONTWRITEBYTECODE=1 "$PYTHON" "$KIT/$1.py" --shapes "$OUT/shapes.out" --device "$DEVICE" \
    --seconds "$((LIMIT > 20 ? LIMIT - 10 : LIMIT / 2))" "${@:2}"
}
HAS_TORCH='import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)'
facts() {
  "$gpu" device --backend "$BACKEND"
  local code=$?
  if command -v nvidia-smi >/dev/null; then
    nvidia-smi --format=csv --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,power.limit
    nvidia-smi --format=csv --query-gpu=clocks.sm,clocks.mem,power.draw,temperature.gpu,clocks_throttle_reasons.active
  else
    echo "nvidia-smi is not there"
  fi
  uname -r
  { command -v lscpu >/dev/null && lscpu | grep -E 'Model name|^CPU\(s\)|Flags' | cut -c 1-2000; } || true
  return "$code"
}
operations() {
  local name=cuda
  case $BACKEND in *emulated*) name=cuda_emulated ;; esac
  EMBEDCORE_TEST_BACKEND=$BACKEND "$KIT/embedcore_native_tests" "--gtest_filter=${1:-Op/*}/$name"
}
# Tests that launch every kernel a few times.
SMALL='Op/NormTest.NonFinite*:Op/PoolTest.NonFinite*:Op/ActivationTest.NaN*:Op/EmbedTest.AgreesWithReference'
SMALL+=':Op/LinearTest.Float16HasItsEnds:Op/LinearTest.NonFinite*:Op/AttentionTest.NonFinite*:Op/PlacementTest.*'
SMALL+=':Op/SimilarityTest.EqualRows*:Op/NormalizeTest.*:Op/QuantizeTest.*:Op/FuseTest.*'
sanitize() {
  local tool
  tool=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
  if [ -z "$tool" ]; then
    echo '{"kernel":"sanitize","leftOut":"compute-sanitizer is not installed"}'
    return
  fi
  # The filter's patterns each end with the backend's name.
  EMBEDCORE_TEST_BACKEND=$BACKEND "$tool" --tool "$1" --error-exitcode 3 --print-limit 20 \
    "$KIT/embedcore_native_tests" --gtest_brief=1 "--gtest_filter=$(sed 's#:#/cuda:#g' <<<"$SMALL")/cuda"
}
processor() {
  local threads
  for threads in 1 $([ "$cores" -gt 1 ] && echo "$cores"); do
    "$gpu" encode --backend cpu --threads "$threads" --models "${1:-}" --dtypes float32,bfloat16,int8 \
      --folder "$folder" --seconds "$((LIMIT / 3))" ${tiny:---tokens $((threads > 1 ? 16384 : 2048))} $tiny
  done
}
models() { [ -n "$tiny" ] || echo "--models $1"; }

export KIT OUT BACKEND PYTHON DEVICE gpu tiny cores folder SMALL HAS_TORCH
export -f runner peer facts operations sanitize processor
call() { step "$1" "$2" bash -c '"$@"' run "${@:3}"; }

"$gpu" shapes $tiny >"$OUT/shapes.out" || exit 2
call facts 20 facts
call limits 30 peer torch_limits
call ops 100 operations
call bits 40 bash -c '"$0" $1' "$BITS" "$tiny"
call golden 40 runner golden "$BACKEND" --golden "$KIT/golden"
call linear-ours 60 runner linear
call linear-peer 45 peer torch_linear
call attention-ours 25 runner attention
call attention-peer 30 peer torch_attention
call encode-ours 70 runner encode "$BACKEND" --folder "$folder" $(models minilm,bert-base,xlm-r-large,qwen2-0.5b)
call encode-peer 105 peer torch_encode $(models minilm,bert-base,xlm-r-large,qwen2-0.5b)
if [ -z "$tiny" ]; then
  call encode-ours-7b 60 runner encode "$BACKEND" --folder "$folder" --models qwen2-7b --dtypes bfloat16
  call encode-peer-7b 40 peer torch_encode --models qwen2-7b
fi
call cpu 40 processor $([ -n "$tiny" ] || echo minilm,bert-base)
for tool in memcheck racecheck initcheck synccheck; do call "sanitize-$tool" 25 sanitize "$tool"; done
SECONDS_IN_ALL=$((SECONDS + 10)) steps="  " call after 10 facts

if command -v "$PYTHON" >/dev/null; then
  results=$here/../results
  { [ -n "$tiny" ] || [ ! -d "$results" ]; } && results=
  "$PYTHON" "$KIT/report.py" "$OUT" ${results:+--results "$results"} || failed=1
else
  echo "run: without Python there is no table; the results are in $OUT"
fi
exit "$failed"
