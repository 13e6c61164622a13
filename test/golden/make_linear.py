"""Writes linear/: whitening, PCA, all-but-the-top and Procrustes by NumPy, scikit-learn and scipy for given vectors.

python test/golden/make_linear.py
Needs scikit-learn and scipy besides requirements.txt. The layout of the results is described in README.md.
"""
import numpy as np
import scipy
import scipy.linalg
import sklearn
import torch
from sklearn.decomposition import PCA

from common import HERE, fresh_directory, generator, write_json, write_tensors

OUT = HERE / "linear"
ROWS, WIDTH, PAIRS = 90, 24, 60


def gaussian(name: str, *shape: int) -> np.ndarray:
    return torch.randn(*shape, generator=generator(name)).numpy()


def vectors() -> np.ndarray:
    """Rows with a mean and with variances that fall by a factor of 300."""
    scales = np.geomspace(3, 0.17, WIDTH).astype(np.float32)
    mix = np.linalg.qr(gaussian("linear mix", WIDTH, WIDTH))[0]
    spread = (gaussian("linear rows", ROWS, WIDTH) * scales) @ mix
    return (spread + 2 * gaussian("linear mean", WIDTH)).astype(np.float32)


def signed(columns: np.ndarray) -> np.ndarray:
    """Of each column, the component of largest magnitude is positive."""
    peaks = columns[np.abs(columns).argmax(axis=0), np.arange(columns.shape[1])]
    return columns * np.sign(peaks)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def eigen(rows: np.ndarray):
    """As bojone/BERT-whitening: np.cov, then the singular value decomposition."""
    mean = rows.mean(axis=0)
    u, s, _ = np.linalg.svd(np.cov(rows.T))
    return mean, signed(u), s


def fitted(rows: np.ndarray) -> dict:
    mean, u, s = eigen(rows)
    found = {}
    for name, kept, ridge in [("whitening", WIDTH, 0.0), ("whitening-8", 8, 0.0), ("whitening-ridge", WIDTH, 0.1)]:
        weight = u[:, :kept] @ np.diag(1 / np.sqrt(s[:kept] + ridge * s.mean()))
        found[name] = {"kind": "whitening", "dimensions": kept, "ridge": ridge, "rows": unit((rows - mean) @ weight)}
    pca = PCA(8, svd_solver="full").fit(rows)
    found["pca-8"] = {"kind": "pca", "dimensions": 8, "rows": pca.transform(rows), "normalize": False}
    for removed in [1, 3]:
        top = u[:, :removed]
        centred = rows - mean
        found[f"top-{removed}"] = {"kind": "all-but-the-top", "components": removed, "normalize": False,
                                   "rows": centred - centred @ top @ top.T}
    return found


def maps() -> tuple:
    """Pairs of one width, and of two; scipy has square ones alone, so the others are the SVD of NumPy."""
    tensors, found = {}, {}
    for name, source, target in [("square", 12, 12), ("narrower", 12, 7), ("wider", 7, 12)]:
        x = (gaussian(f"linear source {name}", PAIRS, source) + 1).astype(np.float32)
        y = x.astype(np.float64) @ gaussian(f"linear map {name}", source, target) - 3
        y = (y + 0.3 * gaussian(f"linear noise {name}", PAIRS, target)).astype(np.float32)
        tensors[f"{name}.source"], tensors[f"{name}.target"] = x, y
        for center in [True, False]:
            for scale in [True, False]:
                a, b = x.astype(np.float64), y.astype(np.float64)
                mean_a, mean_b = (a.mean(axis=0), b.mean(axis=0)) if center else (0.0, 0.0)
                u, s, vt = np.linalg.svd((a - mean_a).T @ (b - mean_b), full_matrices=False)
                r = u @ vt
                if source == target:
                    r, s_sum = scipy.linalg.orthogonal_procrustes(a - mean_a, b - mean_b)
                    assert np.allclose(r, u @ vt) and np.isclose(s_sum, s.sum())
                factor = s.sum() / ((a - mean_a) ** 2).sum() if scale else 1.0
                key = f"{name}{'' if center else '-uncentred'}{'-scaled' if scale else ''}"
                tensors[key] = ((a - mean_a) @ r * factor + mean_b).astype(np.float32)
                found[key] = {"pairs": name, "center": center, "scale": scale}
    return tensors, found


def main() -> None:
    rows = vectors()
    tensors, cases = {"rows": rows}, {}
    for name, case in fitted(rows.astype(np.float64)).items():
        tensors[name] = case.pop("rows").astype(np.float32)
        cases[name] = case
    more, pairs = maps()
    tensors.update(more)
    fresh_directory(OUT)
    write_tensors(OUT / "golden.safetensors", {name: torch.tensor(value) for name, value in tensors.items()})
    write_json(OUT / "golden.json", {
        "versions": {"numpy": np.__version__, "scipy": scipy.__version__, "scikit-learn": sklearn.__version__},
        "variances": eigen(rows.astype(np.float64))[2].tolist(),
        "cases": cases,
        "maps": pairs,
    })


if __name__ == "__main__":
    main()
