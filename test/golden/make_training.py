"""Losses of the first steps of training with sentence-transformers, without dropout, with batches in the order of rows.

    venv/bin/python test/golden/make_training.py     # training/: losses and norms of ten steps; seconds; needs stack/
"""

import json
import math
from pathlib import Path

import sentence_transformers
import torch
import transformers
from sentence_transformers import SentenceTransformer, losses
from transformers import get_scheduler

HERE = Path(__file__).parent
WORDS = ["quick", "brown", "fox", "lazy", "dog", "captain", "harbour", "phone"]
STEPS, BATCH, RATE, STATIC_RATE = 10, 8, 2e-3, 2e-2


def word(i):
    return WORDS[i % 8]


ANCHORS = [f"{word(i)} {word(i * 3 + (i >> 3))} {word(i * 5 + 2)}" for i in range(STEPS * BATCH)]
POSITIVES = [f"{word(i * 3 + (i >> 3))} {word(i)} the {word(i * 7 + 1)}" for i in range(STEPS * BATCH)]
SCORES = [(i * 5 % 7) / 6 for i in range(STEPS * BATCH)]


def freeze_but_biases_and_row(model, token):
    """What method: 'bitfit' trains beside clsToken."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.endswith(".bias")
    table = model[0].auto_model.get_input_embeddings().weight
    chosen = torch.zeros_like(table)
    chosen[model.tokenizer.convert_tokens_to_ids(token)] = 1
    table.requires_grad = True
    table.register_hook(lambda gradient: gradient * chosen)


def run(
    make_loss,
    labelled,
    schedule="linear",
    decay=0.0,
    accumulation=1,
    stack="mean-normalize",
    token=None,
    rate=RATE,
):
    model = SentenceTransformer(str(HERE / "stack" / stack), device="cpu")
    if token is not None:
        freeze_but_biases_and_row(model, token)
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    loss = make_loss(model)
    parameters = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for _, p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for _, p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=rate)
    updates = STEPS // accumulation
    scheduler = get_scheduler(schedule, optimizer, math.ceil(0.1 * updates), updates)
    values, norms = [], []
    for step in range(updates):
        total = 0.0
        for part in range(accumulation):
            rows = slice((step * accumulation + part) * BATCH, (step * accumulation + part + 1) * BATCH)
            features = [model.preprocess(texts[rows]) for texts in (ANCHORS, POSITIVES)]
            labels = torch.tensor(SCORES[rows]) if labelled else None
            value = loss(features, labels) / accumulation
            value.backward()
            total += value.item()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        values.append(total)
    return {"losses": values, "norms": norms}


def matryoshka(model):
    return losses.MatryoshkaLoss(model, losses.MultipleNegativesRankingLoss(model), [16, 8, 4])


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    cases = {
        "ranking": run(losses.MultipleNegativesRankingLoss, False),
        "ranking-decay-cosine": run(losses.MultipleNegativesRankingLoss, False, "cosine", 0.1),
        "ranking-accumulated": run(losses.MultipleNegativesRankingLoss, False, "constant_with_warmup", 0.0, 2),
        "cosent": run(losses.CoSENTLoss, True),
        "matryoshka": run(matryoshka, False),
        "static-ranking-decay": run(
            losses.MultipleNegativesRankingLoss, False, decay=0.1, stack="static", rate=STATIC_RATE
        ),
        "static-matryoshka": run(matryoshka, False, stack="static", rate=STATIC_RATE),
        "cls-last": run(losses.MultipleNegativesRankingLoss, False, stack="decoder-cls-last", token="[CLS]"),
        "cls-first": run(losses.MultipleNegativesRankingLoss, False, stack="decoder-cls-first", token="[CLS]"),
    }
    rows = [list(row) for row in zip(ANCHORS, POSITIVES, SCORES)]
    versions = {module.__name__: module.__version__ for module in (torch, transformers, sentence_transformers)}
    text = json.dumps({"versions": versions, "rows": rows, "cases": cases}, indent=1)
    (HERE / "training/golden.json").write_text(text + "\n")
