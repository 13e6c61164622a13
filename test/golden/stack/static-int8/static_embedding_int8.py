"""Lets sentence-transformers open this directory: a StaticEmbedding whose rows are int8 with one scale each.

Opened like any other model: SentenceTransformer("<this directory>", trust_remote_code=True). Weights come back as float32.
"""

from __future__ import annotations

import os

from safetensors.torch import load_file
from sentence_transformers.models import StaticEmbedding
from tokenizers import Tokenizer


class Int8StaticEmbedding(StaticEmbedding):
    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **kwargs) -> "Int8StaticEmbedding":
        folder = os.path.join(model_name_or_path, subfolder)
        tensors = load_file(os.path.join(folder, "model.safetensors"))
        weights = tensors["embeddings"].float() * tensors["scales"].unsqueeze(1)
        tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        return cls(tokenizer, embedding_weights=weights)
