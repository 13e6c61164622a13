"""The two ceilings of a card: copies from device memory to device memory, and large products of random numbers."""
import torch
from torch_common import arguments, measure, record, run_case


def copies(device, tiny):
    elements = (1 << 20 if tiny else 4 << 30) // 4
    source = torch.randn(elements, device=device)
    target = torch.empty_like(source)
    timing = measure(lambda _: target.copy_(source), device, tiny)
    return {**timing, "bytesPerSecond": 2 * 4 * elements / timing["seconds"]}


def products(device, tiny, dtype):
    size = 256 if tiny else 8192
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    c = torch.empty_like(a)
    if not tiny:  # the clock settles
        for _ in range(50):
            torch.mm(a, b, out=c)
    timing = measure(lambda _: torch.mm(a, b, out=c), device, tiny)
    return {**timing, "operationsPerSecond": 2 * size**3 / timing["seconds"]}


def main():
    options = arguments(__doc__)
    if options.device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        record(
            kernel="card",
            name=properties.name,
            computeCapability=10 * properties.major + properties.minor,
            multiprocessors=properties.multi_processor_count,
            memoryBytes=properties.total_memory,
        )
    run_case(lambda: copies(options.device, options.tiny), kernel="limit", what="copy")
    for dtype in (torch.bfloat16, torch.float16):
        name = str(dtype).removeprefix("torch.")
        run_case(lambda: products(options.device, options.tiny, dtype), kernel="limit", what="product", dtype=name)


if __name__ == "__main__":
    main()
