"""Kernels for attention over packed texts, where they can be imported."""


def varlen_kernels():
    """{name: f(q, k, v, offsets, longest, causal)}, q, k, v as [tokens, heads, d]."""
    kernels = {}
    try:
        from flash_attn import flash_attn_varlen_func

        kernels["flash-attn"] = lambda q, k, v, offsets, longest, causal: flash_attn_varlen_func(
            q, k, v, offsets, offsets, longest, longest, causal=causal
        )
    except Exception:  # also an extension that was built for another PyTorch
        pass
    try:
        import inspect

        from torch.nn.attention.varlen import varlen_attn

        # Causal attention is a flag in one release and a window in the next.
        names = inspect.signature(varlen_attn).parameters

        def torch_varlen(q, k, v, offsets, longest, causal):
            if "is_causal" in names:
                more = {"is_causal": causal}
            else:
                more = {"window_size": (-1, 0) if causal else (-1, -1)}
            if q.shape[1] != k.shape[1] and "enable_gqa" in names:
                more["enable_gqa"] = True
            return varlen_attn(q, k, v, offsets, offsets, longest, longest, **more)

        kernels["torch-varlen"] = torch_varlen
    except Exception:
        pass
    return kernels
