"""Writes vectors/: results of sentence-transformers for given vectors: quantisation and similarity.

python test/golden/make_vectors.py. The layout of the results is described in README.md beside this file.
"""
from common import HERE, fresh_directory, generator, write_json, write_tensors
from stack_parts import STACKS, TEXTS, VERSIONS, open_stack

import numpy as np
import torch
from sentence_transformers import util
from sentence_transformers.util import quantize_embeddings

ROWS, WIDTH = 48, 20  # a width that leaves the last byte of bits half empty
PRECISIONS = ["int8", "uint8", "binary", "ubinary"]
SIMILARITIES = {
    "cosine": util.cos_sim,
    "dot": util.dot_score,
    "euclidean": util.euclidean_sim,
    "manhattan": util.manhattan_sim,
}
STACK = "mean-normalize"


def rows_to_quantise() -> np.ndarray:
    """Random values, and the edges of rounding.

    Values on a step, the next float on each side, zeros of both signs, a dimension without a range.
    """
    rows = torch.randn((ROWS, WIDTH), generator=generator("vectors")).numpy()
    rows[:, 3] = 0.25
    low, high = rows[:, 5].min(), rows[:, 5].max()
    steps = low + np.arange(1, 16, dtype=np.float32) * ((high - low) / np.float32(255)) * np.float32(16)
    rows[2:17, 5] = steps
    rows[17:32, 5] = np.nextafter(steps, np.float32(-10))
    rows[32:47, 5] = np.nextafter(steps, np.float32(10))
    rows[0, 7], rows[1, 7], rows[2, 7] = 0.0, -0.0, np.float32(1e-45)
    return rows


def given_ranges(rows: np.ndarray) -> np.ndarray:
    """Narrower than the rows, so that some fall outside.

    One dimension has no range; rows have values below, on and far above it.
    """
    ranges = np.vstack([np.quantile(rows, 0.1, axis=0), np.quantile(rows, 0.9, axis=0)]).astype(np.float32)
    ranges[:, 11] = 0.0
    return ranges


def main() -> None:
    rows = rows_to_quantise()
    ranges = given_ranges(rows)
    assert (rows[:, 11] > 1).any() and (rows[:, 11] < 0).any()
    tensors = {"rows": rows, "ranges": ranges}
    for precision in PRECISIONS:
        tensors[precision] = quantize_embeddings(rows, precision)
    for precision in ("int8", "uint8"):
        tensors[f"{precision}.ranges"] = quantize_embeddings(rows, precision, ranges=ranges)
    a, b = torch.from_numpy(rows[:7]), torch.from_numpy(rows[7:18].copy())
    b[4] = a[2]  # a distance of 0
    b[5] = 0  # a vector without a direction
    tensors |= {"a": a, "b": b}
    for name, similarity in SIMILARITIES.items():
        tensors[f"similarity.{name}"] = similarity(a, b)

    model = open_stack(STACKS / STACK)
    for precision in PRECISIONS:
        tensors[f"encoded.{precision}"] = model.encode(
            TEXTS, batch_size=1, precision=precision, show_progress_bar=False
        )

    directory = fresh_directory(HERE / "vectors")
    write_json(directory / "golden.json", {"versions": VERSIONS, "stack": STACK, "texts": TEXTS})
    write_tensors(directory / "golden.safetensors", tensors)


if __name__ == "__main__":
    main()
