"""BERT and Qwen2 encoders in plain PyTorch with random weights: the shapes of embedcore_gpu, mean pooling, unit length.

A batch is [texts, longest] with padding, or [1, tokens] of packed texts with a variable-length kernel."""
import torch
import torch.nn.functional as F


class Encoder(torch.nn.Module):
    def __init__(self, shape, device, dtype):
        super().__init__()
        self.shape, self.decoder = shape, shape["decoder"]
        h, i = shape["hidden"], shape["intermediate"]
        self.d = h // shape["heads"]
        self.widths = [shape["heads"] * self.d, shape["kvHeads"] * self.d, shape["kvHeads"] * self.d]

        def weight(*size):
            return torch.randn(*size, device=device, dtype=dtype).mul_(0.02)

        def ones(size):
            return torch.ones(size, device=device, dtype=dtype)

        self.words = weight(shape["vocab"], h)
        self.positions = None if self.decoder else weight(shape["positions"], h)
        self.first_norm = (ones(h), weight(h))
        self.layers = [
            {
                "qkv": (weight(sum(self.widths), h), weight(sum(self.widths))),
                "out": (weight(h, self.widths[0]), None if self.decoder else weight(h)),
                "up": (weight(2 * i if self.decoder else i, h), None if self.decoder else weight(i)),
                "down": (weight(h, i), None if self.decoder else weight(h)),
                "norms": [(ones(h), weight(h)) for _ in range(2)],
            }
            for _ in range(shape["layers"])
        ]
        if self.decoder:
            frequencies = 1e6 ** (-torch.arange(0, self.d, 2, device=device) / self.d)
            angles = torch.arange(1024, device=device)[:, None] * torch.cat([frequencies, frequencies])
            self.cos, self.sin = angles.cos().to(dtype), angles.sin().to(dtype)

    def norm(self, x, weights):
        h = (self.shape["hidden"],)
        return F.rms_norm(x, h, weights[0], 1e-6) if self.decoder else F.layer_norm(x, h, *weights, 1e-12)

    def rotate(self, x, positions):
        cos, sin = self.cos[positions][..., None, :], self.sin[positions][..., None, :]
        half = self.d // 2
        return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin

    def hidden(self, ids, positions, attend):
        """attend(q, k, v), each [..., heads, d] -> the same shape as q."""
        x = self.words[ids]
        if not self.decoder:
            x = self.norm(x + self.positions[positions], self.first_norm)
        for layer in self.layers:
            inputs = self.norm(x, layer["norms"][0]) if self.decoder else x
            q, k, v = (p.unflatten(-1, (-1, self.d)) for p in F.linear(inputs, *layer["qkv"]).split(self.widths, -1))
            if self.decoder:
                q, k = self.rotate(q, positions), self.rotate(k, positions)
            x = x + F.linear(attend(q, k, v).flatten(-2), *layer["out"])
            if not self.decoder:
                x = self.norm(x, layer["norms"][0])
            inputs = self.norm(x, layer["norms"][1]) if self.decoder else x
            up = F.linear(inputs, *layer["up"])
            if self.decoder:
                gate, up = up.chunk(2, -1)
                up = F.silu(gate) * up
            else:
                up = F.gelu(up)
            x = x + F.linear(up, *layer["down"])
            if not self.decoder:
                x = self.norm(x, layer["norms"][1])
        return self.norm(x, self.first_norm) if self.decoder else x

    def padded(self, ids, mask):
        """ids [texts, n]; mask [texts, n] of bool, or None where no text has padding."""
        n = ids.shape[1]
        keys = None
        if mask is not None:
            keys = mask[:, None, None, :]
            if self.decoder:
                keys = keys & torch.ones(n, n, dtype=torch.bool, device=ids.device).tril()[None, None]
        gqa = {"enable_gqa": True} if self.widths[0] != self.widths[1] else {}

        def attend(q, k, v):
            q, k, v = (part.transpose(1, 2) for part in (q, k, v))
            causal = self.decoder and keys is None
            return F.scaled_dot_product_attention(q, k, v, attn_mask=keys, is_causal=causal, **gqa).transpose(1, 2)

        x = self.hidden(ids, torch.arange(n, device=ids.device).expand(ids.shape), attend).float()
        return F.normalize(mean_of(x, mask), dim=-1)

    def packed(self, ids, positions, offsets, longest, kernel):
        """ids [tokens] of all texts, one after the other."""
        x = self.hidden(ids, positions, lambda q, k, v: kernel(q, k, v, offsets, longest, self.decoder)).float()
        lengths = offsets.diff().long()
        texts = torch.repeat_interleave(lengths, output_size=len(ids))
        sums = torch.zeros(len(lengths), x.shape[1], device=x.device).index_add_(0, texts, x)
        return F.normalize(sums / lengths[:, None], dim=-1)


def mean_of(x, mask):
    if mask is None:
        return x.mean(1)
    return (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
