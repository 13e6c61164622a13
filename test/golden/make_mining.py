"""Writes mining/golden.json: what sentence-transformers mines from given pairs, with one of the directories of stack/.

python test/golden/make_mining.py. Needs stack/. The layout of the results is described in README.md beside this file.
"""
import contextlib
import io
import re

from common import HERE, fresh_directory, generator, write_json
from stack_parts import STACKS, VERSIONS, open_stack

import datasets.arrow_dataset
import torch
from datasets import Dataset
from sentence_transformers.util import mine_hard_negatives

# Fingerprints are for the cache of datasets, which is not used; making them fails with pyarrow 25.
datasets.arrow_dataset.generate_fingerprint = lambda dataset: "none"

STACK = "mean-normalize"
WORDS = ("quick brown fox jumps over lazy dog while old captain counts boxes on harbour wall small ceramic cup phone case "
         "machine parts returned customer tuesday search query best long journey represent document retrieval").split()
CASES = [
    ("defaults", {}),
    ("range", {"range_min": 2, "range_max": 9, "num_negatives": 4}),
    ("max score", {"max_score": 0.99, "num_negatives": 2}),
    ("min score", {"min_score": 0.99, "range_max": 12, "num_negatives": 5}),
    ("absolute margin", {"absolute_margin": 0.002, "num_negatives": 3}),
    ("relative margin", {"relative_margin": 0.003, "num_negatives": 3, "output_scores": True}),
    ("both margins", {"absolute_margin": 0.001, "relative_margin": 0.002, "max_score": 0.99, "range_max": 20,
                      "output_format": "labeled-list"}),
    ("n-tuple", {"output_format": "n-tuple", "num_negatives": 2}),
    ("n-tuple of few", {"output_format": "n-tuple", "num_negatives": 4, "range_max": 8, "absolute_margin": 0.001}),
    ("n-tuple scores", {"output_format": "n-tuple", "output_scores": True, "num_negatives": 2, "range_min": 1}),
    ("labeled pair", {"output_format": "labeled-pair", "num_negatives": 2, "absolute_margin": 0.0}),
    ("labeled pair scores", {"output_format": "labeled-pair", "output_scores": True}),
    ("labeled list", {"output_format": "labeled-list", "num_negatives": 3, "relative_margin": 0.002}),
    ("labeled list scores", {"output_format": "labeled-list", "output_scores": True}),
    ("positives too", {"include_positives": True, "num_negatives": 6, "output_format": "n-tuple"}),
    ("corpus", {"corpus": True, "num_negatives": 5}),
    ("corpus and filter", {"corpus": True, "relative_margin": 0.001, "range_min": 1, "output_scores": True}),
    ("small corpus", {"rows": 6, "num_negatives": 4, "range_max": 30}),
    ("prompts", {"query_prompt": "query: ", "corpus_prompt": "document ", "num_negatives": 2}),
    ("random", {"sampling_strategy": "random", "range_min": 1, "range_max": 12, "num_negatives": 3,
                "absolute_margin": 0.0}),
]


def sentences(count: int, name: str) -> list[str]:
    """Different sets of words: sentences of one set in another order may have nearly the same vector."""
    random = generator(f"mining {name}")
    found: dict[tuple[str, ...], str] = {}
    while len(found) < count:
        length = int(torch.randint(3, 9, (1,), generator=random))
        words = [WORDS[int(i)] for i in torch.randint(len(WORDS), (length,), generator=random)]
        found.setdefault(tuple(sorted(set(words))), " ".join(words))
    return list(found.values())


def rows() -> list[dict[str, str]]:
    """Queries with one positive, two and three, a repeated row, and a positive that two queries share.

    A positive is its query with a word less and a word more, so most are nearer than the other texts.
    """
    queries, random = sentences(40, "queries"), generator("mining positives")
    word = lambda: WORDS[int(torch.randint(len(WORDS), (1,), generator=random))]
    positive = lambda query: " ".join(query.split()[:-1] + [word()])
    pairs = [(query, positive(query)) for query in queries]
    pairs += [(queries[i], positive(queries[i])) for i in (3, 3, 8)]
    pairs += [pairs[5], (queries[9], pairs[10][1])]
    return [{"anchor": anchor, "positive": positive} for anchor, positive in pairs]


def printed(text: str) -> dict:
    """The table and the sentences that mining prints."""
    table = {}
    for line in text.splitlines():
        cells = line.split()
        if len(cells) == 4 and cells[0] in ("Mean", "Median", "Std", "Min", "25%", "50%", "75%", "Max"):
            table[cells[0]] = [float(cell) for cell in cells[1:]]
        if cells[:1] == ["Count"]:
            table["Count"] = [int(cell.replace(",", "")) for cell in cells[1:]]
    skipped = {name: int(count.replace(",", "")) for count, name in
               re.findall(r"Skipped ([\d,]+) potential negatives \(.*?\) due to the (\w+) of", text)}
    missing = re.search(r"Could not find enough negatives for (\d+) samples", text)
    return {"table": table, "skipped": skipped, "missing": int(missing[1]) if missing else 0}


def main() -> None:
    model = open_stack(STACKS / STACK)
    pairs, corpus = rows(), sentences(60, "corpus")
    cases = []
    for name, options in CASES:
        given = dict(options)
        own = pairs[: given.pop("rows", len(pairs))]
        arguments = given | ({"corpus": corpus} if given.get("corpus") else {})
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
            mined = mine_hard_negatives(Dataset.from_list(own), model, **arguments)
        cases.append({"name": name, "rows": len(own), "options": given, "mined": mined.to_list(),
                      **printed(output.getvalue())})
    directory = fresh_directory(HERE / "mining")
    write_json(directory / "golden.json", {
        "versions": VERSIONS, "stack": STACK, "pairs": pairs, "corpus": corpus, "cases": cases}, indent=None)


if __name__ == "__main__":
    main()
