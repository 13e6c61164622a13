"""The attention of attention.cc by PyTorch: scaled_dot_product_attention on texts of one length, and for mixed lengths
padded with a mask, nested, and by variable-length kernels where they can be imported."""
import torch
import torch.nn.functional as F
from torch_common import arguments, attention_operations, measure, over, record, run_case
from torch_varlen import varlen_kernels


def parts(model, rows, device, dtype):
    """q [rows, heads, d] and k, v [rows, kvHeads, d], views of one matrix as the layer before makes it."""
    d = model["hidden"] // model["heads"]
    heads = model["heads"], model["kvHeads"], model["kvHeads"]
    qkv = torch.randn(rows, sum(heads) * d, device=device, dtype=dtype)
    return [part.unflatten(1, (-1, d)) for part in qkv.split([h * d for h in heads], 1)]


def padded(options, model, lengths, dtype):
    longest, texts = max(lengths), len(lengths)
    q, k, v = (
        part.unflatten(0, (texts, longest)).transpose(1, 2)
        for part in parts(model, texts * longest, options.device, dtype)
    )
    mask = None
    if min(lengths) < longest:
        position = torch.arange(longest, device=options.device)
        mask = (position < torch.tensor(lengths, device=options.device)[:, None])[:, None, None, :]
        if model["decoder"]:
            mask = mask & (position[:, None] >= position)[None, None]
    gqa = {"enable_gqa": True} if model["heads"] != model["kvHeads"] else {}
    causal = model["decoder"] and mask is None

    def call(_):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, **gqa)

    return call


def varlen(options, model, lengths, dtype, kernel):
    q, k, v = parts(model, sum(lengths), options.device, dtype)
    offsets = torch.tensor([0, *lengths], device=options.device).cumsum(0).to(torch.int32)
    return lambda _: kernel(q, k, v, offsets, max(lengths), model["decoder"])


def nested(options, model, lengths, dtype):
    offsets = torch.tensor([0, *lengths], device=options.device).cumsum(0)
    q, k, v = (
        torch.nested.nested_tensor_from_jagged(part.contiguous(), offsets, max_seqlen=max(lengths)).transpose(1, 2)
        for part in parts(model, sum(lengths), options.device, dtype)
    )
    return lambda _: F.scaled_dot_product_attention(q, k, v, is_causal=model["decoder"])


def main():
    options = arguments(__doc__)
    kernels = varlen_kernels()
    for dtype in (torch.bfloat16, torch.float16):
        for model in options.models:
            for texts in options.shapes["attention"]:
                lengths = texts["lengths"]
                ways = {"sdpa": lambda: padded(options, model, lengths, dtype)}
                for name, kernel in kernels.items():
                    ways[name] = lambda kernel=kernel: varlen(options, model, lengths, dtype, kernel)
                if len(set(lengths)) > 1 and model["heads"] == model["kvHeads"]:
                    ways["sdpa-nested"] = lambda: nested(options, model, lengths, dtype)
                for way, make in ways.items():
                    if over(options):
                        record(kernel="torch-attention", model=model["name"], leftOut="the time was over")
                        continue

                    def case():
                        with torch.inference_mode():
                            timing = measure(make(), options.device, options.tiny)
                        rate = attention_operations(model, lengths) / timing["seconds"]
                        return {**timing, "operationsPerSecond": rate}

                    run_case(
                        case,
                        kernel="torch-attention",
                        way=way,
                        dtype=str(dtype).removeprefix("torch."),
                        model=model["name"],
                        texts=texts["name"],
                    )


if __name__ == "__main__":
    main()
