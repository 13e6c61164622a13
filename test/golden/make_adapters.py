"""LoRA adapters that PEFT made and saved, the vectors of their models, and losses of training one of them further.

    venv/bin/python test/golden/make_adapters.py     # adapters/: half a minute; needs stack/, and peft
"""

import json
import math

from common import HERE, fresh_directory, generator, write_json, write_tensors

import peft
import sentence_transformers
import torch
import transformers
from peft import LoraConfig, get_peft_model
from sentence_transformers import SentenceTransformer, losses
from transformers import AutoModel, get_scheduler

from make_training import ANCHORS, BATCH, POSITIVES, RATE, STEPS

TEXTS = ["The quick brown fox", "phone", "", "a small cup and two boxes", "Café, the OLD captain!",
         "What is the best phone case for a long journey over the harbour wall?"]

# name -> base, the class that PEFT wraps, configuration
ADAPTERS = {
    "bert-query-value": ("mean-normalize", AutoModel, dict(r=4, lora_alpha=8, target_modules=["query", "value"])),
    # Other ranks and alphas by name, and the pooler, which embeddings do not use.
    "bert-patterns": (
        "mean-normalize",
        AutoModel,
        dict(
            r=4,
            lora_alpha=6,
            use_rslora=True,
            target_modules="all-linear",
            rank_pattern={"query": 2, r"layer\.1\.output\.dense": 5},
            alpha_pattern={r"intermediate\.dense": 3},
        ),
    ),
    "bert-one-layer": (
        "mean-normalize",
        AutoModel,
        dict(r=3, lora_alpha=5, target_modules=["key", "attention.output.dense"], layers_to_transform=[1]),
    ),
    "decoder-all": (
        "decoder",
        AutoModel,
        dict(
            r=6,
            lora_alpha=4,
            target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        ),
    ),
}


@torch.no_grad()
def fill(model, random):
    """B begins with zeros, which would hide it."""
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.3)


def with_adapter(base, directory, trainable=False):
    model = SentenceTransformer(str(HERE / "stack" / base), device="cpu", local_files_only=True)
    # Not model.load_adapter, which needs the hub to look for the files' names.
    wrapped = peft.PeftModel.from_pretrained(model[0].auto_model, str(directory), is_trainable=trainable)
    model[0].auto_model = wrapped.base_model.model
    return model


def train_further(directory):
    """As make_training.py, from a saved adapter: InfoNCE, AdamW, without dropout."""
    model = with_adapter("mean-normalize", directory, trainable=True)
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    loss = losses.MultipleNegativesRankingLoss(model)
    parameters = [p for _, p in model.named_parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0)
    scheduler = get_scheduler("linear", optimizer, math.ceil(0.1 * STEPS), STEPS)
    values, norms = [], []
    for step in range(STEPS):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        value = loss([model.preprocess(texts[rows]) for texts in (ANCHORS, POSITIVES)], None)
        value.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, 1.0).item())
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        values.append(value.item())
    model.eval()
    return {"losses": values, "norms": norms, "vectors": model.encode(TEXTS).tolist()}


def make(name, base, auto, options):
    directory = fresh_directory(HERE / "adapters" / name)
    torch.manual_seed(0)
    model = get_peft_model(auto.from_pretrained(HERE / "stack" / base), LoraConfig(**options))
    fill(model, generator(name))
    model.save_pretrained(directory)
    (directory / "README.md").unlink()
    config = json.loads((directory / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = f"stack/{base}"
    for key in ("target_modules",):
        if isinstance(config[key], list):
            config[key] = sorted(config[key])
    write_json(directory / "adapter_config.json", config)
    loaded = with_adapter(base, directory)
    golden = {"base": base, "texts": TEXTS}
    tensors = {"unmerged": torch.tensor(loaded.encode(TEXTS))}
    for module in loaded[0].auto_model.modules():
        if isinstance(module, peft.tuners.lora.LoraLayer):
            module.merge()
    tensors["merged"] = torch.tensor(loaded.encode(TEXTS))
    if name == "bert-query-value":
        golden["further"] = train_further(directory)
    write_json(directory / "golden.json", golden)
    write_tensors(directory / "golden.safetensors", tensors)
    print(name, (tensors["merged"] - tensors["unmerged"]).abs().max().item())


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    print(peft.__version__, transformers.__version__, sentence_transformers.__version__)
    for name, case in ADAPTERS.items():
        make(name, *case)
