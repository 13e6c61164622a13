"""What the PyTorch scripts of the GPU bench share: arguments, timing as the runner times, records as JSON lines."""
import argparse
import json
import statistics
import sys
import time

import torch

LEAST_SECONDS = 0.001
MOST_CALLS = 2000
COLD_BYTES = 256 << 20  # more than the caches of the cards that are there


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--shapes", required=True, help="the output of: embedcore_gpu shapes")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=60, help="no case begins later")
    parser.add_argument("--models", default="", help="names, with commas; all if empty")
    options = parser.parse_args()
    with open(options.shapes, encoding="utf-8") as file:
        options.shapes = json.load(file)
    if options.device == "cuda" and not torch.cuda.is_available():
        record(kernel="torch", leftOut=f"PyTorch {torch.__version__} sees no GPU")
        sys.exit(0)
    wanted = [name for name in options.models.split(",") if name]
    options.models = [m for m in options.shapes["models"] if not wanted or m["name"] in wanted]
    options.tiny = options.shapes["tiny"]
    options.end = time.perf_counter() + options.seconds
    torch.manual_seed(1)
    record(kernel="torch", version=torch.__version__, cuda=torch.version.cuda)
    return options


def record(**fields):
    print(json.dumps(fields), flush=True)


def over(options):
    return time.perf_counter() > options.end


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def run_case(call, **fields):
    """call() returns the measured fields. A case that fails is a line, too, and does not end the script."""
    try:
        record(**fields, **call())
    except Exception as error:  # of PyTorch: no kernel, no memory, not implemented
        first = next(iter(str(error).strip().splitlines()), "")
        record(**fields, leftOut=f"{type(error).__name__}: {first[:200]}")
        if "out of memory" in str(error):
            torch.cuda.empty_cache()


def measure(call, device, tiny, cycle=1):
    """Seconds of call(i), i = 0 .. cycle - 1, again and again: as bench/native/gpu/sampling.h."""
    samples = 3 if tiny else 20
    for i in range(cycle):
        call(i)
    synchronize(device)
    start = time.perf_counter()
    for i in range(cycle):
        call(i)
    synchronize(device)
    once = time.perf_counter() - start
    cycles = 1
    while not tiny and cycles * once < LEAST_SECONDS and (cycles + 1) * cycle <= MOST_CALLS:
        cycles += 1
    count = cycles * cycle

    def all_calls():
        for i in range(count):
            call(i % cycle)

    launch, graph = all_calls, None
    if device == "cuda":
        try:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                all_calls()
            launch = graph.replay
        except RuntimeError:
            graph = None
            torch.cuda.synchronize()
    launch()
    synchronize(device)
    times = []
    for _ in range(samples):
        start = time.perf_counter()
        launch()
        synchronize(device)
        times.append((time.perf_counter() - start) / count)
    return {
        "seconds": statistics.median(times),
        "least": min(times),
        "most": max(times),
        "samples": samples,
        "calls": count,
        "graph": graph is not None,
    }


def attention_operations(model, lengths):
    """Of one layer, over the pairs that the mask allows."""
    pairs = sum(n * (n + 1) / 2 if model["decoder"] else n * n for n in lengths)
    return 4 * pairs * model["hidden"]
