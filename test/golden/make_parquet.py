"""Writes parquet/: small files as pyarrow writes them, one per compression, and one with lists.

python test/golden/make_parquet.py. The layout of the results is described in README.md beside this file.
"""
from common import HERE, fresh_directory

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 60
LANGUAGES = ["en", "zh", "fr", "es"]


def pairs() -> pa.Table:
    """Texts, numbers, and an integer above 2^53, which JavaScript cannot hold as a number."""
    return pa.table({
        "anchor": [f"anchor {i} 世界" for i in range(ROWS)],
        "positive": [f"positive {i}" for i in range(ROWS)],
        "score": pa.array([0.5 if i == 17 else i / 64 for i in range(ROWS)], pa.float32()),
        "category": pa.array([i % 5 for i in range(ROWS)], pa.int32()),
        "language": pa.array([LANGUAGES[(i + 1) % 4] for i in range(ROWS)]).dictionary_encode(),
        "id": pa.array([9007199254740964 + i for i in range(ROWS)], pa.int64()),
    })


def lists() -> pa.Table:
    return pa.table({
        "query": [f"query {i} 世界" for i in range(ROWS)],
        "pos": [[f"positive {i}"] + ([f"another {i}"] if i % 2 else []) for i in range(ROWS)],
        "neg": [[f"negative {i} {j}" for j in range(3)] for i in range(ROWS)],
        "pos_scores": [[1.0] + ([0.5] if i % 2 else []) for i in range(ROWS)],
        "neg_scores": [[0.25, 0.0, -0.25] for _ in range(ROWS)],
    })


def main() -> None:
    directory = fresh_directory(HERE / "parquet")
    for codec in ("none", "snappy", "gzip", "zstd", "brotli"):
        # Groups and pages of few rows, so that there are several of each.
        pq.write_table(pairs(), directory / f"{codec}.parquet", compression=codec, row_group_size=25,
                       data_page_size=64, write_page_index=codec == "zstd")
    pq.write_table(lists(), directory / "lists.parquet", compression="snappy", row_group_size=25)


if __name__ == "__main__":
    main()
