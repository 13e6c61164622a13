"""The linear layers of linear.cc by PyTorch (cuBLAS): torch.nn.functional.linear with bias."""
import torch
import torch.nn.functional as F
from torch_common import COLD_BYTES, arguments, measure, over, record, run_case

FEW_ROWS = 64


def layer(options, dtype, shape, rows):
    out, size = shape["out"], shape["in"]
    cold = 100_000 if options.tiny else COLD_BYTES
    copies = max(1, -(-cold // (2 * out * size))) if rows <= FEW_ROWS else 1
    x = torch.randn(rows, size, device=options.device, dtype=dtype)
    weights = [torch.randn(out, size, device=options.device, dtype=dtype).mul_(0.02) for _ in range(copies)]
    bias = torch.randn(out, device=options.device, dtype=dtype)
    with torch.inference_mode():
        timing = measure(lambda i: F.linear(x, weights[i], bias), options.device, options.tiny, copies)
    return {**timing, "copies": copies, "operationsPerSecond": 2 * rows * size * out / timing["seconds"]}


def main():
    options = arguments(__doc__)
    for dtype in (torch.bfloat16, torch.float16):
        for model in options.models:
            for shape in model["linears"]:
                for rows in options.shapes["rows"]:
                    if over(options):
                        record(kernel="torch-linear", model=model["name"], leftOut="the time was over")
                        continue
                    run_case(
                        lambda: layer(options, dtype, shape, rows),
                        kernel="torch-linear",
                        dtype=str(dtype).removeprefix("torch."),
                        model=model["name"],
                        layer=shape["layer"],
                        rows=rows,
                    )


if __name__ == "__main__":
    main()
