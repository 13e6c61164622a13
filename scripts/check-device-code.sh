#!/usr/bin/env bash
# Compiles the kernels for one architecture (90a unless it is given) and holds them to cuda/budget.json. Needs nvcc and
# no GPU. Exits with 77 where there is no nvcc.
set -euo pipefail
cd "$(dirname "$0")/.."

nvcc=${NVCC:-${CUDACXX:-}}
if [[ -z $nvcc ]]; then
  nvcc=$(PATH="$PATH:${CUDA_PATH:-/usr/local/cuda}/bin" command -v nvcc) || {
    echo 'There is no nvcc here, so no kernel was compiled for a GPU.'
    exit 77
  }
fi
NVCC=$nvcc node scripts/cuda-report.mjs --arch "${1:-90a}"
