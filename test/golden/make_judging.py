"""Writes judging/: metrics of sentence-transformers, scikit-learn and scipy for given vectors.

python test/golden/make_judging.py
Needs scikit-learn and scipy besides requirements.txt. The layout of the results is described in README.md.
"""
import numpy as np
import scipy.stats
import sklearn
from sklearn.cluster import MiniBatchKMeans
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, homogeneity_completeness_v_measure
from sentence_transformers.sentence_transformer import evaluation

from common import HERE, SEED, fresh_directory, write_json, write_tensors
from make_evaluators import SIMILARITIES, Table, gaussian, integers, numbers, result, signs, VERSIONS

OUT = HERE / "judging"


def pairs(tensors: dict, cases: list) -> None:
    count = 70
    rows = gaussian("pair-classification", 2 * count)
    labels = integers("pair labels", count, 2)
    rows[count:] += rows[:count] * np.array(labels, dtype=np.float32)[:, None]
    tensors["pairs"] = rows
    tensors["pairs-signs"] = signs("pair-signs", 2 * count)
    data = {"sentence1": numbers(0, count), "sentence2": numbers(count, count), "label": labels}
    texts = [data["sentence1"], data["sentence2"], labels]
    make = evaluation.BinaryClassificationEvaluator
    for name in ["pairs", "pairs-signs"]:
        for options, more in [({}, {}), ({"name": "p", "similarityFnNames": SIMILARITIES},
                                         {"name": "p", "similarity_fn_names": SIMILARITIES})]:
            cases.append({"task": "pair-classification", "rows": name, "data": data, "options": options,
                          **result(make(*texts, **more), Table(tensors[name]))})


def reranking(tensors: dict, cases: list) -> None:
    queries, documents = 20, 12
    rows = gaussian("reranking", queries * (1 + documents))
    samples, data = [], {"query": [], "positive": [], "negative": []}
    for q in range(queries):
        first = queries + q * documents
        positive = [str(first + i) for i in range(q % 5)]  # none of every fifth query
        negative = [str(first + i) for i in range(q % 5, documents - q % 3)]
        for text in positive:
            rows[int(text)] += rows[q] * 0.5
        samples.append({"query": str(q), "positive": positive, "negative": negative})
        for key in data:
            data[key].append(samples[-1][key])
    tensors["reranking"] = rows
    for at_k in [10, 3]:
        made = evaluation.RerankingEvaluator(samples, at_k=at_k, name="r")
        cases.append({"task": "reranking", "rows": "reranking", "data": data, "options": {"name": "r", "atK": at_k},
                      **result(made, Table(rows))})


def classes(tensors: dict) -> list:
    """Fitted to the end, so that the minimum itself is compared."""
    found = []
    for name, kinds, C in [("two", 2, 1.0), ("five", 5, 1.0), ("five-weak", 5, 20.0), ("five-strong", 5, 0.05)]:
        rows = gaussian(f"classes {name}", 260)
        labels = np.array(integers(f"labels {name}", 260, kinds))
        rows += gaussian(f"centres {name}", kinds)[labels] * np.float32(0.8)
        tensors[f"classes-{name}"] = rows
        train, test = slice(0, 60), slice(60, 260)
        model = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-10, max_iter=1000)
        model.fit(rows[train].astype(np.float64), labels[train])
        guessed = model.predict(rows[test].astype(np.float64))
        found.append({"rows": f"classes-{name}", "labels": labels.tolist(), "train": 60, "C": C,
                      "coefficients": model.coef_.tolist(), "intercepts": model.intercept_.tolist(),
                      "predicted": guessed.tolist(), "accuracy": accuracy_score(labels[test], guessed),
                      "f1": f1_score(labels[test], guessed, average="macro"),
                      "f1_weighted": f1_score(labels[test], guessed, average="weighted")})
    return found


def clusters(tensors: dict) -> dict:
    agreement = []
    for i in range(12):
        labels, guessed = integers(f"truth {i}", 50, 1 + i % 6), integers(f"clusters {i}", 50, 1 + i % 4)
        values = homogeneity_completeness_v_measure(labels, guessed)
        agreement.append({"labels": labels, "clusters": guessed, "values": [float(value) for value in values]})
    found = {}
    for name, spread in [("apart", 0.4), ("close", 2.2)]:
        rows, labels = make_blobs(1500, 16, centers=8, cluster_std=spread, center_box=(-3, 3), random_state=SEED)
        rows = rows.astype(np.float32)
        tensors[f"clusters-{name}"] = rows
        scores = [homogeneity_completeness_v_measure(labels, MiniBatchKMeans(
            8, batch_size=500, n_init="auto", random_state=seed).fit(rows).labels_)[2] for seed in range(15)]
        found[name] = {"labels": labels.tolist(), "scores": [float(score) for score in scores]}
    return {"agreement": agreement, "blobs": found}


def statistics() -> dict:
    draw = np.random.default_rng(SEED)
    a = draw.normal(size=40).round(2)
    b = (a + draw.normal(0.15, 0.5, size=40)).round(2)
    few = (b - a)[:11]
    interval = scipy.stats.bootstrap((a,), np.mean, method="percentile", n_resamples=50_000, rng=draw)
    paired = scipy.stats.bootstrap((a, b), lambda x, y, axis: np.mean(y - x, axis=axis), paired=True,
                                   method="percentile", n_resamples=50_000, rng=draw)
    labels = draw.integers(0, 6, size=40)
    rank = scipy.stats.bootstrap((a, labels), lambda x, y: scipy.stats.spearmanr(x, y)[0], paired=True,
                                 vectorized=False, method="percentile", n_resamples=4_000, rng=draw)
    exact = scipy.stats.permutation_test((few, np.zeros(11)), lambda x, y, axis: np.mean(x - y, axis=axis),
                                         permutation_type="samples", n_resamples=np.inf, vectorized=True)
    return {"a": a.tolist(), "b": b.tolist(), "labels": labels.tolist(), "few": few.tolist(),
            "interval": [*map(float, interval.confidence_interval)],
            "paired": [*map(float, paired.confidence_interval)],
            "spearman": [*map(float, rank.confidence_interval)], "p": float(exact.pvalue)}


def geometry(tensors: dict) -> dict:
    rows = gaussian("geometry", 90) * np.linspace(0.2, 2, 20, dtype=np.float32)
    others = rows + gaussian("geometry others", 90) * np.float32(0.3)
    tensors["geometry"] = np.concatenate([rows, others])
    unit, unit2 = (x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
                   for x in (rows, others))
    upper = np.triu_indices(len(rows), 1)
    squares = ((unit[:, None] - unit[None]) ** 2).sum(-1)[upper]
    s = np.linalg.eigvalsh(np.cov(rows.astype(np.float64), rowvar=False))[::-1]
    n = len(s)
    defect = np.linalg.norm(np.sqrt(n) * s / np.linalg.norm(s) - 1) / np.sqrt(2 * (n - np.sqrt(n)))
    return {"alignment": float(((unit - unit2) ** 2).sum(1).mean()),
            "uniformity": float(np.log(np.exp(-2 * squares).mean())),
            "mean_cosine": float((unit @ unit.T)[upper].mean()),
            "isoscore": float(((n - defect**2 * (n - np.sqrt(n))) ** 2 - n) / (n * (n - 1))),
            "explained_variance@1": float(s[0] / s.sum()), "explained_variance@10": float(s[:10].sum() / s.sum()),
            "effective_dimensions": float(s.sum() ** 2 / (s**2).sum()), "variances": s.tolist()}


def main() -> None:
    tensors, cases = {}, []
    pairs(tensors, cases)
    reranking(tensors, cases)
    golden = {"versions": {**VERSIONS, "scikit_learn": sklearn.__version__, "scipy": scipy.__version__},
              "cases": cases, "classes": classes(tensors), "clusters": clusters(tensors),
              "statistics": statistics(), "geometry": geometry(tensors)}
    fresh_directory(OUT)
    write_json(OUT / "golden.json", golden, indent=None)
    write_tensors(OUT / "golden.safetensors", tensors)


if __name__ == "__main__":
    main()
