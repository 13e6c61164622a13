"""Trains with sentence-transformers on the batches of a file, with the losses and settings that the file names.

    python3 bench/recipes/replay.py PLAN BATCHES

PLAN is JSON: see bench/recipes/peer.mjs. Each line of BATCHES is a batch. Prints one line of JSON:
{"versions": …, "losses": [first steps without dropout], "seconds": …}; the model of the whole run is saved.
"""

import json
import math
import sys
import time

import peft
import sentence_transformers
import torch
import transformers
from peft.tuners.tuners_utils import BaseTunerLayer
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses
from transformers import get_scheduler


class MaskedRanking(torch.nn.Module):
    """InfoNCE in which positives of other rows with the same label are not negatives."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, embeddings, labels):
        anchors, positives = (torch.nn.functional.normalize(part, dim=1) for part in embeddings)
        scores = self.scale * anchors @ positives.T
        if labels is not None:
            same = labels[:, None] == labels[None, :]
            same.fill_diagonal_(False)
            scores = scores.masked_fill(same, -math.inf)
        return torch.nn.functional.cross_entropy(scores, torch.arange(len(scores)))


class Objective:
    """The weighted sum of the losses of a plan."""

    def __init__(self, model, plan):
        self.model = model
        self.teacher = None
        self.parts = []
        for spec in plan["losses"]:
            self.parts.append((spec.get("weight", 1.0), self.part(spec)))

    def part(self, spec):
        kind, scale = spec["type"], spec.get("scale", 20.0)
        if kind == "MultipleNegativesRankingLoss":
            directions = tuple(spec.get("directions", ["query_to_doc"]))
            if spec.get("maskLabels"):
                ranking = MaskedRanking(scale)
                return lambda features, labels: ranking(self.embed(features), labels)
            mode = spec.get("partitionMode", "joint")
            loss = losses.MultipleNegativesRankingLoss(
                self.model, scale=scale, directions=directions, partition_mode=mode
            )
            return lambda features, labels: loss(self.twice(features), None)
        if kind == "BatchSemiHardTripletLoss":
            names = {"cosine": "cosine_distance", "euclidean": "eucledian_distance"}
            distance = getattr(losses.BatchHardTripletLossDistanceFunction, names[spec.get("distance", "euclidean")])
            loss = losses.BatchSemiHardTripletLoss(self.model, distance_metric=distance, margin=spec.get("margin", 5))
            return lambda features, labels: loss.batch_semi_hard_triplet_loss(
                labels.repeat(len(features)), torch.cat(self.embed(features))
            )
        if kind == "MSELoss":
            self.teacher = SentenceTransformer(spec["teacher"], device="cpu", local_files_only=True)
            loss = losses.MSELoss(self.model)
            return lambda features, labels: loss(features, self.targets)
        raise ValueError(f"Expected a loss that is replayed but received {kind}")

    def embed(self, features):
        """Once for all losses of a step, so that they share the pass and its dropout."""
        if self.embedded is None:
            self.embedded = [self.model(column)["sentence_embedding"] for column in features]
        return self.embedded

    @staticmethod
    def twice(features):
        """A text alone is its own positive, in another pass."""
        return [features[0], dict(features[0])] if len(features) == 1 else features

    def __call__(self, batch):
        self.embedded = None
        features = [self.model.preprocess(texts) for texts in batch["texts"]]
        labels = None if batch["labels"] is None else torch.tensor(batch["labels"])
        if self.teacher is not None:
            with torch.no_grad():
                texts = batch["texts"][0]
                self.targets = torch.tensor(self.teacher.encode(texts, batch_size=len(texts)))
        return sum(weight * part(features, labels) for weight, part in self.parts)


def load(plan):
    model = SentenceTransformer(
        plan["model"], device="cpu", local_files_only=True, model_kwargs={"torch_dtype": torch.float32}
    ).float()
    for name, parameter in model.named_parameters():
        parameter.requires_grad = not plan["lora"] or "lora_" in name or not name.startswith("0.")
    return model


def run(plan, batches, dropout):
    torch.manual_seed(plan["seed"])
    model = load(plan)
    longest = model.max_seq_length
    if plan["maxTokens"] is not None:
        model.max_seq_length = plan["maxTokens"]
    model.train()
    if not dropout:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        for config in [m.config for m in model.modules() if hasattr(m, "config")]:
            for name in ("attention_probs_dropout_prob", "attention_dropout"):
                if hasattr(config, name):
                    setattr(config, name, 0.0)
    objective = Objective(model, plan)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=plan["learningRate"], weight_decay=0.0)
    scheduler = get_scheduler("linear", optimizer, math.ceil(0.1 * len(batches)), len(batches))
    values = []
    for batch in batches:
        value = objective(batch)
        value.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        values.append(value.item())
    model.max_seq_length = longest
    return model, values


def main():
    plan = json.load(open(sys.argv[1]))
    batches = [json.loads(line) for line in open(sys.argv[2])]
    torch.set_num_threads(plan["threads"])
    first = run(plan, batches[: plan["compared"]], dropout=False)[1] if plan["compared"] > 0 else []
    begin = time.time()
    model, values = run(plan, batches, dropout=True)
    seconds = time.time() - begin
    if plan["lora"]:
        merge_adapters(model[0])
    model.save_pretrained(plan["output"], create_model_card=False)
    versions = {m.__name__: m.__version__ for m in (torch, transformers, sentence_transformers, peft)}
    print(json.dumps({"versions": versions, "losses": first, "runLosses": values, "seconds": seconds}))


def merge_adapters(transformer):
    """Adds the updates to the matrices, and puts the plain layers back, so that the model is saved whole."""
    layers = [(name, m) for name, m in transformer.named_modules() if isinstance(m, BaseTunerLayer)]
    for name, layer in layers:
        layer.merge()
        parent, _, attribute = name.rpartition(".")
        setattr(transformer.get_submodule(parent), attribute, layer.get_base_layer())
    for module in transformer.modules():
        if getattr(module, "_hf_peft_config_loaded", False):
            module._hf_peft_config_loaded = False
            del module.peft_config


if __name__ == "__main__":
    main()
