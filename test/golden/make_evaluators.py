"""Writes evaluators/: metrics of the evaluators of sentence-transformers for given vectors and for a real model.

python test/golden/make_evaluators.py [path of the shared folder, ../shared by default, seen from the repository root]
The layout of the results is described in README.md beside this file. The vectors are given to the evaluators by a
model that only looks them up, so that nothing but the metrics is compared.
"""
import csv
import gzip
import json
import sys
from pathlib import Path

from common import HERE, fresh_directory, generator, write_json, write_tensors

import numpy as np
import sentence_transformers
import torch
from sentence_transformers import SentenceTransformer, util
from sentence_transformers.sentence_transformer import evaluation
from sentence_transformers.sentence_transformer.evaluation import embedding_similarity
from sentence_transformers.util import quantize_embeddings

SHARED = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parents[2] / "shared"
OUT = HERE / "evaluators"
SIMILARITIES = ["cosine", "dot", "euclidean", "manhattan"]
WIDTH = 20
VERSIONS = {"sentence_transformers": sentence_transformers.__version__, "torch": torch.__version__}


class Card:
    def set_evaluation_metrics(self, *args) -> None:
        pass


class Table:
    """A model whose texts are the numbers of rows. Vectors are cut and normalised as `encode` does it."""

    model_card_data = Card()

    def __init__(self, rows: np.ndarray, similarity: str = "cosine"):
        self.rows, self.similarity_fn_name = rows, similarity

    @property
    def similarity(self):
        return util.SimilarityFunction.to_similarity_fn(self.similarity_fn_name)

    def encode(self, texts, convert_to_numpy=True, convert_to_tensor=False, precision=None, normalize_embeddings=False,
               truncate_dim=None, **_):
        rows = self.rows[[int(text) for text in texts]]
        if truncate_dim is not None:
            rows = rows[:, :truncate_dim]
        if normalize_embeddings:
            rows = torch.nn.functional.normalize(torch.from_numpy(rows), dim=1).numpy()
        if precision not in (None, "float32"):
            rows = quantize_embeddings(rows, precision)
            # The evaluator adds 128 to `binary`, which NumPy 2 refuses on int8.
            rows = rows.astype(np.int16) if precision == "binary" else rows
        if convert_to_tensor:
            return torch.from_numpy(rows)
        return rows if convert_to_numpy else [torch.from_numpy(row) for row in rows]

    encode_query = encode_document = encode


def widen_integers() -> None:
    """The pairwise measures in float64, rounded to float32, for quantised vectors.

    On int8 and uint8 tensors those of this version overflow or refuse to normalise. In float32 the rounding of lengths
    would part similarities of bits that are equal.
    """
    for name in ["cos_sim", "dot_score", "euclidean_sim", "manhattan_sim"]:
        measure = getattr(util, f"pairwise_{name}")

        def widened(a, b, measure=measure):
            if a.dtype == np.float32:
                return measure(a, b)
            return measure(torch.as_tensor(a).double(), torch.as_tensor(b).double()).float()

        setattr(embedding_similarity, f"pairwise_{name}", widened)


def gaussian(name: str, rows: int) -> np.ndarray:
    return torch.randn((rows, WIDTH), generator=generator(name)).numpy()


def signs(name: str, rows: int) -> np.ndarray:
    """Numbers of 1 and -1 in 16 dimensions: every sum is exact, and many similarities are equal."""
    return (torch.randint(0, 2, (rows, 16), generator=generator(name)) * 2 - 1).float().numpy()


def integers(name: str, count: int, below: int) -> list[int]:
    return torch.randint(0, below, (count,), generator=generator(name)).tolist()


def numbers(start: int, count: int) -> list[str]:
    return [str(i) for i in range(start, start + count)]


def result(evaluator, model) -> dict:
    metrics = evaluator(model)
    return {"primary": evaluator.primary_metric, "metrics": metrics}


class Goldens:
    def __init__(self):
        self.tensors, self.cases = {}, []

    def add(self, task: str, rows: str, data, model: str, options: dict, evaluator) -> None:
        """`options` are those of embedcore, for the test."""
        golden = result(evaluator, Table(self.tensors[rows], model))
        self.cases.append({"task": task, "rows": rows, "data": data, "similarity": model, "options": options, **golden})


def sts(goldens: Goldens) -> None:
    pairs = 60
    near = gaussian("sts", 2 * pairs)
    near[pairs:] = near[:pairs] + near[pairs:] * np.linspace(0.1, 3, pairs, dtype=np.float32)[:, None]
    goldens.tensors["sts"] = near
    goldens.tensors["sts-signs"] = signs("sts-signs", 2 * pairs)
    labels = [score / 2 for score in integers("labels", pairs, 11)]  # 0 to 5, many of them equal
    data = {"sentence1": numbers(0, pairs), "sentence2": numbers(pairs, pairs), "score": labels}
    texts = [data["sentence1"], data["sentence2"], labels]
    make = evaluation.EmbeddingSimilarityEvaluator
    for rows in ["sts", "sts-signs"]:
        goldens.add("sts", rows, data, "dot", {}, make(*texts))
        goldens.add("sts", rows, data, "cosine", {"name": "dev", "similarityFnNames": SIMILARITIES},
                    make(*texts, name="dev", similarity_fn_names=SIMILARITIES))
    goldens.add("sts", "sts", data, "cosine", {"name": "a_b", "mainSimilarity": "manhattan"},
                make(*texts, name="a_b", main_similarity="manhattan"))
    goldens.add("sts", "sts", data, "cosine", {"similarityFnNames": ["dot", "euclidean"], "mainSimilarity": "euclidean"},
                make(*texts, similarity_fn_names=["dot", "euclidean"], main_similarity="euclidean"))
    goldens.add("sts", "sts", data, "dot", {"dimensions": 7}, make(*texts, truncate_dim=7))
    for precision in ["float32", "int8", "uint8", "binary", "ubinary"]:
        options = {"precision": precision, "similarityFnNames": SIMILARITIES}
        goldens.add("sts", "sts", data, "cosine", options,
                    make(*texts, precision=precision, similarity_fn_names=SIMILARITIES))


def triplets(goldens: Goldens) -> None:
    count = 61
    goldens.tensors["triplet"] = gaussian("triplet", 3 * count)
    goldens.tensors["triplet-signs"] = signs("triplet-signs", 3 * count)
    texts = [numbers(side * count, count) for side in range(3)]
    data = dict(zip(["anchor", "positive", "negative"], texts))
    make = evaluation.TripletEvaluator
    for rows in ["triplet", "triplet-signs"]:
        goldens.add("triplet", rows, data, "manhattan", {}, make(*texts))
        for margin in [None, 0.5, {"cosine": 0.125, "manhattan": 2}]:
            options = {"name": "t", "similarityFnNames": SIMILARITIES}
            if margin is not None:
                options["margin"] = margin
            goldens.add("triplet", rows, data, "cosine", options,
                        make(*texts, name="t", similarity_fn_names=SIMILARITIES, margin=margin))
    goldens.add("triplet", "triplet", data, "cosine",
                {"similarityFnNames": ["dot", "cosine"], "mainSimilarity": "dot", "dimensions": 5},
                make(*texts, similarity_fn_names=["dot", "cosine"], main_similarity_function="dot", truncate_dim=5))


def translations(goldens: Goldens) -> None:
    count = 80
    rows = gaussian("bitext", 2 * count)
    rows[count:] = rows[:count] + rows[count:] * 0.9
    goldens.tensors["bitext"] = rows
    goldens.tensors["bitext-signs"] = signs("bitext-signs", 2 * count)
    goldens.tensors["bitext-signs"][count : count + 60] = goldens.tensors["bitext-signs"][:60]
    texts = [numbers(0, count), numbers(count, count)]
    data = dict(zip(["source_sentence", "target_sentence"], texts))
    for name in ["bitext", "bitext-signs"]:
        goldens.add("bitext", name, data, "cosine", {"name": "en-fr"},
                    evaluation.TranslationEvaluator(*texts, name="en-fr"))
    goldens.add("bitext", "bitext", data, "cosine", {"dimensions": 6},
                evaluation.TranslationEvaluator(*texts, truncate_dim=6))


def retrieval(goldens: Goldens) -> None:
    queries, documents = 25, 120
    goldens.tensors["retrieval"] = gaussian("retrieval", queries + documents)
    goldens.tensors["retrieval-signs"] = signs("retrieval-signs", queries + documents)
    # Ids whose order is not that of the numbers. Among those of the queries are some without a relevant document.
    query_texts = {f"q{i}": str(i) for i in range(queries)}
    corpus = {f"d{i * 37 % documents}": str(queries + i) for i in range(documents)}
    relevant = {}
    for i in range(queries - 3):
        count = 1 + i % 7
        relevant[f"q{i}"] = {f"d{d}" for d in integers(f"relevant {i}", count, documents)}
        # The nearest document of every third query is relevant, so that the metrics are not all small.
        if i % 3 == 0:
            rows = goldens.tensors["retrieval"]
            nearest = int(np.argmax(rows[queries:] @ rows[i]))
            relevant[f"q{i}"].add(list(corpus)[nearest])
    relevant["q3"].add("a document that is not there")
    relevant["q22"] = set()
    data = {"queries": query_texts, "corpus": corpus,
            "relevantDocs": {query: sorted(found) for query, found in relevant.items()}}
    make = evaluation.InformationRetrievalEvaluator
    all_functions = {name: util.SimilarityFunction.to_similarity_fn(name) for name in SIMILARITIES}
    for rows in ["retrieval", "retrieval-signs"]:
        goldens.add("retrieval", rows, data, "dot", {}, make(query_texts, corpus, relevant))
        goldens.add("retrieval", rows, data, "cosine", {"name": "ir", "similarityFnNames": SIMILARITIES},
                    make(query_texts, corpus, relevant, name="ir", score_functions=all_functions))
    cutoffs = {"accuracyAtK": [2, 120, 500], "precisionRecallAtK": [4, 50], "mrrAtK": [1, 7], "ndcgAtK": [20, 5],
               "mapAtK": [3, 300]}
    goldens.add("retrieval", "retrieval", data, "cosine",
                {**cutoffs, "similarityFnNames": ["dot", "cosine"], "mainSimilarity": "dot", "dimensions": 9},
                make(query_texts, corpus, relevant, accuracy_at_k=[2, 120, 500], precision_recall_at_k=[4, 50],
                     mrr_at_k=[1, 7], ndcg_at_k=[20, 5], map_at_k=[3, 300], main_score_function="dot", truncate_dim=9,
                     score_functions={name: all_functions[name] for name in ["dot", "cosine"]}))


def real() -> dict:
    """Whole runs of all-MiniLM-L6-v2 over data of the shared folder."""
    model = SentenceTransformer(str(SHARED / "models" / "all-MiniLM-L6-v2"), device="cpu")
    with open(SHARED / "data" / "stsb" / "stsb-en-dev.csv", encoding="utf-8", newline="") as file:
        first, second, scores = zip(*csv.reader(file))
    pairs = evaluation.EmbeddingSimilarityEvaluator(
        list(first), list(second), [float(score) for score in scores], name="stsb", similarity_fn_names=SIMILARITIES)
    queries, corpus, relevant = scifact()
    pairs_result = result(pairs, model)
    model.max_seq_length = 64
    search = evaluation.InformationRetrievalEvaluator(queries, corpus, relevant, name="scifact")
    return {"sts": pairs_result, "retrieval": {**result(search, model), "documents": len(corpus)}}


def scifact():
    """The queries of the validation part, their documents, and every 40th document."""
    folder = SHARED / "data" / "scifact"
    queries = dict(line.rstrip("\n").split("\t") for line in open(folder / "queries-val.tsv", encoding="utf-8"))
    relevant = {}
    for line in open(folder / "qrels-val.txt", encoding="utf-8"):
        query, _, document, grade = line.split()
        if int(grade) > 0:
            relevant.setdefault(query, set()).add(document)
    judged = set().union(*relevant.values())
    corpus = {}
    number = 0
    for part in ["corpus-1.jsonl.gz", "corpus-2.jsonl.gz"]:
        for line in gzip.open(folder / part, "rt", encoding="utf-8"):
            row = json.loads(line)
            if row["_id"] in judged or number % 40 == 0:
                corpus[row["_id"]] = f"{row['title']} {row['text']}".strip()
            number += 1
    return queries, corpus, relevant


def main() -> None:
    widen_integers()
    goldens = Goldens()
    for make in [sts, triplets, translations, retrieval]:
        make(goldens)
    fresh_directory(OUT)
    golden = {"versions": VERSIONS, "cases": goldens.cases, "real": real()}
    (OUT / "golden.json").write_text(json.dumps(golden, ensure_ascii=False) + "\n", encoding="utf-8")
    write_tensors(OUT / "golden.safetensors", goldens.tensors)


if __name__ == "__main__":
    main()
