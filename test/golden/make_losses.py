"""Writes losses/: values and gradients of the losses of sentence-transformers for given embeddings.

python test/golden/make_losses.py. The layout of the results is described in README.md beside this file.
"""
import warnings

from common import HERE, fresh_directory, generator, write_json, write_tensors

import sentence_transformers
import torch
from sentence_transformers import util
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.sentence_transformer.losses import batch_hard_triplet, contrastive, gist_embed, triplet

ROWS, WIDTH, GUIDE = 12, 16, 8
DISTANCES = batch_hard_triplet.BatchHardTripletLossDistanceFunction
SIAMESE = contrastive.SiameseDistanceMetric
TRIPLET = triplet.TripletDistanceMetric


class Embeddings(torch.nn.Module):
    """A model whose embeddings are its input."""

    device = "cpu"

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, features: dict, **_) -> dict:
        return {"sentence_embedding": features["embeddings"]}

    def get_embedding_dimension(self) -> int:
        return self.width


def make_inputs() -> dict[str, torch.Tensor]:
    random = generator("losses")
    numbers = lambda *shape: torch.randn(shape, generator=random)
    anchor = numbers(ROWS, WIDTH)
    labels = {
        "scores": torch.rand(ROWS, generator=random).mul(4).round().div(4),  # some are equal, and 1 - score is exact
        "binary": torch.tensor([1.0, 0, 1, 1, 0, 0, 1, 0, 0, 1, 0, 1]),
        "one_positive": torch.tensor([0.0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        "one_negative": torch.tensor([1.0, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1]),
        "classes": torch.tensor([0.0, 1, 0, 2, 1, 0, 3, 2, 1, 0, 4, 2]),  # 3 and 4 have no positive
        "one_class": torch.zeros(ROWS),
        "margins": numbers(ROWS, 1),
        "two_margins": numbers(ROWS, 2),
        "two_scores": numbers(ROWS, 2) * 3,
        "three_scores": numbers(ROWS, 3) * 3,
    }
    return {
        "anchor": anchor,
        "positive": anchor + numbers(ROWS, WIDTH),
        "negative": anchor * 0.5 + numbers(ROWS, WIDTH),
        "negative2": numbers(ROWS, WIDTH),
        "teacher": numbers(ROWS, WIDTH),
        "teacher2": numbers(ROWS, 2, WIDTH),
        "guide.anchor": numbers(ROWS, GUIDE),
        "guide.positive": numbers(ROWS, GUIDE),
        "guide.negative": numbers(ROWS, GUIDE),
        "guide.negative2": numbers(ROWS, GUIDE),
        **{f"labels.{name}": values for name, values in labels.items()},
    }


INPUTS = make_inputs()
PAIR, THREE, FOUR = ["anchor", "positive"], ["anchor", "positive", "negative"], ["anchor", "positive", "negative", "negative2"]
SYMMETRIC = ("query_to_doc", "doc_to_query")
GTE = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")


def with_guide(kind, model, **options):
    """The loss without its tokenizers; the guide's embeddings come in the features."""
    loss = kind.__new__(kind)
    torch.nn.Module.__init__(loss)
    settings = {"margin_strategy": "absolute", "margin": 0.0, "contrast_anchors": True, "contrast_positives": True, "temperature": 0.01}
    for name, value in {**settings, **options}.items():
        setattr(loss, name, value)
    loss.model, loss.guide = model, Embeddings(GUIDE)
    loss.must_retokenize = loss.gather_across_devices = loss.show_progress_bar = False
    loss.similarity_fct, loss.cross_entropy_loss = torch.nn.CosineSimilarity(dim=-1), torch.nn.CrossEntropyLoss()
    loss.mini_batch_size = ROWS
    return loss


def guided(columns, cached=False, **options):
    """GISTEmbedLoss takes one negative; the cached one computes the same and takes several."""

    def run(model, embeddings, labels):
        kind = losses.CachedGISTEmbedLoss if cached else losses.GISTEmbedLoss
        loss = with_guide(kind, model, **options)
        guides = [INPUTS["guide." + column].double() for column in columns]
        if cached:
            return loss.calculate_loss([[e] for e in embeddings], [[g] for g in guides])
        source = gist_embed.embed_columns
        gist_embed.embed_columns = lambda of, _: guides if of is loss.guide else embeddings
        try:
            return loss.forward([{} for _ in columns], labels)
        finally:
            gist_embed.embed_columns = source

    return run


def of(kind, matryoshka=None, **options):
    def run(model, embeddings, labels):
        loss = kind(model, **options)
        if matryoshka:
            loss = losses.MatryoshkaLoss(model, loss, **matryoshka)
        return loss([{"embeddings": each} for each in embeddings], labels)

    return run


def mnr(**options):
    return of(losses.MultipleNegativesRankingLoss, **options)


CASES = []


def case(name, loss, columns, run, labels=None, teacher=None, width=WIDTH, **options):
    CASES.append(dict(name=name, loss=loss, columns=columns, run=run, labels=labels, teacher=teacher, width=width, options=options))


MNR = "MultipleNegativesRankingLoss"
case("mnr-pairs", MNR, PAIR, mnr())
case("mnr-triplets", MNR, THREE, mnr())
case("mnr-two-negatives", MNR, FOUR, mnr(scale=5), scale=5)
case("mnr-dot", MNR, THREE, mnr(scale=0.5, similarity_fct=util.dot_score), scale=0.5, similarity="dot")
case("mnr-symmetric", MNR, PAIR, mnr(directions=SYMMETRIC, partition_mode="per_direction"), directions=SYMMETRIC, partition_mode="per_direction")
case("mnr-symmetric-negatives", MNR, FOUR, mnr(directions=SYMMETRIC, partition_mode="per_direction"), directions=SYMMETRIC, partition_mode="per_direction")
case("mnr-symmetric-joint", MNR, THREE, mnr(directions=SYMMETRIC), directions=SYMMETRIC)
case("mnr-gte", MNR, PAIR, mnr(directions=GTE), directions=GTE)
case("mnr-gte-negatives", MNR, FOUR, mnr(directions=GTE, scale=10), directions=GTE, scale=10)
case("mnr-queries", MNR, PAIR, mnr(directions=GTE[:2]), directions=GTE[:2])
case("mnr-documents", MNR, THREE, mnr(directions=(GTE[0], GTE[3])), directions=(GTE[0], GTE[3]))
for mode in ("in_batch_negatives", "hard_negatives", "all_negatives"):
    case(f"mnr-{mode}", MNR, FOUR, mnr(scale=5, hardness_mode=mode, hardness_strength=4.0), scale=5, hardness_mode=mode, hardness_strength=4.0)
case("mnr-hardness-symmetric", MNR, THREE, mnr(directions=SYMMETRIC, partition_mode="per_direction", hardness_mode="all_negatives", hardness_strength=2.0),
     directions=SYMMETRIC, partition_mode="per_direction", hardness_mode="all_negatives", hardness_strength=2.0)

GIST = "GISTEmbedLoss"
for name, options in {
    "gist": {"temperature": 0.1},
    "gist-margin": {"temperature": 0.1, "margin": 0.3},
    "gist-relative": {"temperature": 0.1, "margin": 0.5, "margin_strategy": "relative"},
    "gist-anchors": {"temperature": 0.1, "contrast_positives": False},
    "gist-positives": {"temperature": 0.1, "contrast_anchors": False},
    "gist-neither": {"temperature": 0.1, "contrast_anchors": False, "contrast_positives": False},
}.items():
    case(name, GIST, PAIR, guided(PAIR, **options), **options)
case("gist-triplets", GIST, THREE, guided(THREE, temperature=0.1), temperature=0.1)
case("gist-two-negatives", GIST, FOUR, guided(FOUR, cached=True, temperature=0.1, margin=-0.2), temperature=0.1, margin=-0.2)

for name, distance in {"euclidean": DISTANCES.euclidean_distance, "cosine": DISTANCES.cosine_distance}.items():
    for margin in (5, 0.25):
        options = {"distance_metric": name, "margin": margin}
        for kind in ("BatchHardTripletLoss", "BatchAllTripletLoss", "BatchSemiHardTripletLoss"):
            case(f"{kind}-{name}-{margin}", kind, ["anchor"], of(getattr(losses, kind), distance_metric=distance, margin=margin), "classes", **options)
    case(f"soft-margin-{name}", "BatchHardSoftMarginTripletLoss", ["anchor"], of(losses.BatchHardSoftMarginTripletLoss, distance_metric=distance), "classes", distance_metric=name)
    for kind in ("BatchHardTripletLoss", "BatchAllTripletLoss", "BatchSemiHardTripletLoss"):
        case(f"{kind}-{name}-one-class", kind, ["anchor"], of(getattr(losses, kind), distance_metric=distance, margin=1), "one_class", distance_metric=name, margin=1)

for name, distance in {"euclidean": TRIPLET.EUCLIDEAN, "cosine": TRIPLET.COSINE, "manhattan": TRIPLET.MANHATTAN}.items():
    margin = 0.2 if name == "cosine" else 5
    case(f"triplet-{name}", "TripletLoss", THREE, of(losses.TripletLoss, distance_metric=distance, triplet_margin=margin), distance_metric=name, margin=margin)

case("cosine-similarity", "CosineSimilarityLoss", PAIR, of(losses.CosineSimilarityLoss), "scores")
case("cosent", "CoSENTLoss", PAIR, of(losses.CoSENTLoss), "scores")
case("cosent-dot", "CoSENTLoss", PAIR, of(losses.CoSENTLoss, scale=0.25, similarity_fct=util.pairwise_dot_score), "scores", scale=0.25, similarity="dot")
case("angle", "AnglELoss", PAIR, of(losses.AnglELoss), "scores")
case("angle-odd", "AnglELoss", PAIR, of(losses.AnglELoss), "scores", width=15)
case("angle-negatives", "AnglELoss", FOUR, of(losses.AnglELoss, scale=10), None, scale=10)
case("angle-negatives-scores", "AnglELoss", THREE, of(losses.AnglELoss), "scores")

for name, distance in {"cosine": SIAMESE.COSINE_DISTANCE, "euclidean": SIAMESE.EUCLIDEAN, "manhattan": SIAMESE.MANHATTAN}.items():
    margin = {"cosine": 0.8, "euclidean": 5, "manhattan": 15}[name]
    options = {"distance_metric": name, "margin": margin}
    case(f"contrastive-{name}", "ContrastiveLoss", PAIR, of(losses.ContrastiveLoss, distance_metric=distance, margin=margin), "binary", **options)
    for labels in ("binary", "one_positive", "one_negative"):
        case(f"online-{name}-{labels}", "OnlineContrastiveLoss", PAIR, of(losses.OnlineContrastiveLoss, distance_metric=distance, margin=margin), labels, **options)
case("contrastive-sum", "ContrastiveLoss", PAIR, of(losses.ContrastiveLoss, size_average=False), "binary", size_average=False)
case("contrastive-weights", "ContrastiveLoss", PAIR, of(losses.ContrastiveLoss), "scores")

case("margin-mse", "MarginMSELoss", THREE, of(losses.MarginMSELoss), "margins")
case("margin-mse-scores", "MarginMSELoss", THREE, of(losses.MarginMSELoss), "two_scores")
case("margin-mse-two", "MarginMSELoss", FOUR, of(losses.MarginMSELoss), "two_margins")
case("margin-mse-two-scores", "MarginMSELoss", FOUR, of(losses.MarginMSELoss), "three_scores")
case("margin-mse-cosine", "MarginMSELoss", THREE, of(losses.MarginMSELoss, similarity_fct=util.pairwise_cos_sim), "margins", similarity="cosine")

case("distill-kl", "DistillKLDivLoss", THREE, of(losses.DistillKLDivLoss), "two_scores")
case("distill-kl-temperatures", "DistillKLDivLoss", FOUR, of(losses.DistillKLDivLoss, student_temperature=2.0, teacher_temperature=3.0), "three_scores",
     student_temperature=2.0, teacher_temperature=3.0)
case("distill-kl-cosine", "DistillKLDivLoss", FOUR, of(losses.DistillKLDivLoss, similarity_fct=util.pairwise_cos_sim, temperature=0.1), "three_scores",
     similarity="cosine", student_temperature=0.1, teacher_temperature=0.1)

case("mse", "MSELoss", PAIR, of(losses.MSELoss), teacher="teacher")
case("mse-columns", "MSELoss", PAIR, of(losses.MSELoss), teacher="teacher2")
for distance in ("l2", "cosine"):
    case(f"embed-distill-{distance}", "EmbedDistillLoss", PAIR, of(losses.EmbedDistillLoss, distance_metric=distance), teacher="teacher2", distance_metric=distance)

DIMS = {"matryoshka_dims": [16, 8, 3]}
WEIGHTED = {"matryoshka_dims": [16, 8, 3], "matryoshka_weights": [1, 0.5, 2.0]}
case("matryoshka-mnr", MNR, THREE, mnr(matryoshka=DIMS), **DIMS)
case("matryoshka-gte", MNR, THREE, mnr(matryoshka=WEIGHTED, directions=GTE), directions=GTE, **WEIGHTED)
case("matryoshka-dot", MNR, PAIR, mnr(matryoshka=WEIGHTED, similarity_fct=util.dot_score), similarity="dot", **WEIGHTED)
case("matryoshka-cosent", "CoSENTLoss", PAIR, of(losses.CoSENTLoss, matryoshka=DIMS), "scores", **DIMS)
case("matryoshka-angle", "AnglELoss", PAIR, of(losses.AnglELoss, matryoshka=DIMS), "scores", **DIMS)
case("matryoshka-triplet", "TripletLoss", THREE, of(losses.TripletLoss, matryoshka=WEIGHTED), distance_metric="euclidean", margin=5, **WEIGHTED)
case("matryoshka-batch-hard", "BatchHardTripletLoss", ["anchor"], of(losses.BatchHardTripletLoss, matryoshka=DIMS, margin=1), "classes", distance_metric="euclidean", margin=1, **DIMS)
case("matryoshka-mse", "MSELoss", ["anchor"], of(losses.MSELoss, matryoshka=WEIGHTED), teacher="teacher", **WEIGHTED)


def compute(c) -> tuple[float, list[torch.Tensor]]:
    """In float64, from the float32 inputs."""
    width = c["width"]
    embeddings = [INPUTS[column].double()[:, :width].clone().requires_grad_() for column in c["columns"]]
    labels = None
    if c["labels"]:
        labels = INPUTS["labels." + c["labels"]].double()
        if c["loss"].startswith("Batch"):
            labels = labels.long()
    if c["teacher"]:
        labels = INPUTS[c["teacher"]].double()
    loss = c["run"](Embeddings(width), embeddings, labels)
    loss.backward()
    return loss.item(), [each.grad for each in embeddings]


def main() -> None:
    directory = fresh_directory(HERE / "losses")
    tensors = dict(INPUTS)
    cases = []
    for c in CASES:
        value, gradients = compute(c)
        assert torch.isfinite(torch.tensor(value)), c["name"]
        for column, gradient in zip(c["columns"], gradients):
            tensors[f"{c['name']}.{column}"] = gradient.float()
        cases.append({name: c[name] for name in ("name", "loss", "columns", "labels", "teacher", "width", "options")} | {"value": value})
    versions = {"sentence_transformers": sentence_transformers.__version__, "torch": torch.__version__}
    write_json(directory / "golden.json", {"versions": versions, "rows": ROWS, "guide_width": GUIDE, "cases": cases})
    write_tensors(directory / "golden.safetensors", tensors)
    print(f"{len(cases)} cases")


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    warnings.simplefilter("ignore")
    main()
