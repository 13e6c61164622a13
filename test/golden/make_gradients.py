"""Write gradients/<name>.json and .safetensors: gradients of every parameter of the models in models/, and of the table
in stack/static, by PyTorch in float64.

python test/golden/make_gradients.py [name ...]. The loss is the sum of embeddings * weights, with random weights, so
that every number of an embedding counts. The layout is described in README.md beside this file.
"""

import json
import sys
from contextlib import contextmanager

from common import HERE, generator, write_json, write_tensors

import torch
import transformers
from safetensors.torch import load_file
from make_models import hidden_states_of, visible
from transformers import AutoModel

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

LENGTHS = [1, 7, 17, 40, 3]
PREFIX = 5
# name of the model -> [(name of the case, poolings, states, concat, attention)]; states None = the last one
ENCODER_CASES = [("mean", ["mean"], None, False, "default")]
CASES = {
    "bert": [
        *ENCODER_CASES,
        ("poolings", ["cls", "max", "mean_sqrt_len", "weightedmean", "lasttoken"], None, False, "default"),
        ("average", ["mean"], [0, 1, 2], False, "default"),
        ("concat", ["cls", "mean"], [2, 1], True, "default"),
    ],
    "roberta": ENCODER_CASES,
    "distilbert": ENCODER_CASES,
    "mpnet": ENCODER_CASES,
    "modernbert": ENCODER_CASES,
    "qwen2": [("mean", ["mean"], None, False, "default"), ("prefix", ["lasttoken"], [1, 2], False, {"prefix": PREFIX})],
    "qwen2-sliding": [
        ("mean", ["mean"], None, False, "default"),
        ("layers", ["mean", "lasttoken"], None, False, ["bidirectional", "causal", "bidirectional"]),
    ],
    "qwen3": [("mean", ["mean"], None, False, "default"), ("bidirectional", ["mean"], None, False, "bidirectional")],
    "llama": ENCODER_CASES,
    "mistral": ENCODER_CASES,
}


def pool(rows: torch.Tensor, mode: str) -> torch.Tensor:
    if mode == "cls":
        return rows[0]
    if mode == "lasttoken":
        return rows[-1]
    if mode == "max":
        return rows.max(dim=0).values
    if mode == "mean":
        return rows.mean(dim=0)
    if mode == "mean_sqrt_len":
        return rows.sum(dim=0) / len(rows) ** 0.5
    places = torch.arange(1, len(rows) + 1, dtype=rows.dtype)[:, None]
    return (rows * places).sum(dim=0) / places.sum()


@contextmanager
def layer_masks(model, attention: list[str], length: int):
    """The layers of a decoder with a mask each; transformers makes one for all layers of a kind."""

    def hook(mask):
        return lambda module, args, kwargs: (args, {**kwargs, "attention_mask": mask})

    hooks = []
    for layer, mode in zip(model.layers, attention, strict=True):
        sees = visible(mode, length, layer.self_attn.sliding_window)
        mask = torch.zeros(sees.shape, dtype=model.dtype).masked_fill(~sees, torch.finfo(torch.float32).min)
        hooks.append(layer.register_forward_pre_hook(hook(mask[None, None]), with_kwargs=True))
    try:
        yield
    finally:
        for one in hooks:
            one.remove()


def states_of(model, ids, attention):
    if not isinstance(attention, list):
        return hidden_states_of(model, ids, attention)
    own = hidden_states_of(model, ids, "default")
    with layer_masks(model, ["causal"] * len(attention), len(ids)):
        for a, b in zip(own, hidden_states_of(model, ids, "default")):
            torch.testing.assert_close(a, b, rtol=0, atol=0)
    with layer_masks(model, attention, len(ids)):
        return hidden_states_of(model, ids, "default")


def embedding(model, ids, poolings, states, concat, attention) -> torch.Tensor:
    hidden = states_of(model, ids, attention)
    chosen = [hidden[state] for state in (states or [len(hidden) - 1])]
    rows = torch.cat(chosen, dim=1) if concat else torch.stack(chosen).mean(dim=0)
    return torch.cat([pool(rows, mode) for mode in poolings])


def make(name: str) -> None:
    random = generator("gradients of " + name)
    ids = [torch.randint(3, 64, (length,), generator=random).tolist() for length in LENGTHS]
    model = AutoModel.from_pretrained(HERE / "models" / name, attn_implementation="eager", dtype=torch.float64).eval()
    tensors, cases = {}, []
    for case, poolings, states, concat, attention in CASES[name]:
        model.zero_grad()
        rows = torch.stack([embedding(model, text, poolings, states, concat, attention) for text in ids])
        weights = torch.randn(rows.shape, generator=random, dtype=torch.float64).float()
        (rows * weights).sum().backward()
        tensors[f"{case}/weights"] = weights
        tensors[f"{case}/embeddings"] = rows.detach().float()
        for parameter, value in model.named_parameters():
            if value.grad is not None:
                tensors[f"{case}/gradient/{parameter}"] = value.grad.float()
        cases.append(dict(name=case, pooling=poolings, states=states, concat=concat, attention=attention))
    directory = HERE / "gradients"
    directory.mkdir(exist_ok=True)
    write_json(directory / f"{name}.json", dict(ids=ids, cases=cases), indent=None)
    write_tensors(directory / f"{name}.safetensors", tensors)
    print(name, json.dumps([case["name"] for case in cases]))


def make_static() -> None:
    """The mean of a table's rows, as StaticEmbedding computes it; texts share tokens, and one has none."""
    random = generator("gradients of static")
    table = load_file(HERE / "stack/static/model.safetensors")["embedding.weight"].double()
    bag = torch.nn.EmbeddingBag.from_pretrained(table, freeze=False, mode="mean")
    ids = [torch.randint(0, len(table), (length,), generator=random).tolist() for length in [*LENGTHS, 0, 25]]
    ids[1][3] = ids[1][0]
    offsets = torch.tensor([sum(len(text) for text in ids[:i]) for i in range(len(ids))])
    rows = bag(torch.tensor(sum(ids, [])), offsets)
    weights = torch.randn(rows.shape, generator=random, dtype=torch.float64).float()
    (rows * weights).sum().backward()
    tensors = {
        "mean/weights": weights,
        "mean/embeddings": rows.detach().float(),
        "mean/gradient/embedding.weight": bag.weight.grad.float(),
    }
    case = dict(name="mean", pooling=["mean"], states=None, concat=False, attention="default")
    write_json(HERE / "gradients/static.json", dict(ids=ids, cases=[case]), indent=None)
    write_tensors(HERE / "gradients/static.safetensors", tensors)
    print("static", json.dumps([case["name"]]))


if __name__ == "__main__":
    for name in sys.argv[1:] or [*CASES, "static"]:
        make_static() if name == "static" else make(name)
