"""Shared by the golden scripts: the seed, the random parameters, and the writing of results.

Everything is drawn from SEED and the name of the directory, so one directory can be remade without the others, and a
second run writes the same bytes.
"""
import json
import os
import shutil
import zlib
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from safetensors.torch import save_file

SEED = 20240607
HERE = Path(__file__).resolve().parent

torch.set_num_threads(1)  # one order of summation


def generator(name: str) -> torch.Generator:
    return torch.Generator().manual_seed(SEED ^ zlib.crc32(name.encode()))


@torch.no_grad()
def randomise(module: torch.nn.Module, random: torch.Generator, std: float = 0.2) -> None:
    """Every parameter gaussian, biases and padding rows too; norm weights around one. Real initialisation leaves biases
    zero and norms one, and a port that forgets them would still pass."""
    for name, parameter in module.named_parameters():
        values = torch.randn(parameter.shape, generator=random) * std
        is_norm = "norm" in name.lower() and name.endswith("weight")
        parameter.copy_(values + 1 if is_norm else values)


def fresh_directory(path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def write_json(path: Path, value, indent: int | None = 1) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file({name: torch.as_tensor(value).contiguous().clone() for name, value in tensors.items()}, path)
