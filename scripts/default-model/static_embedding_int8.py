"""Lets sentence-transformers open this directory: a StaticEmbedding whose rows are int8 with one factor each.

Opened like any other model: SentenceTransformer("<this directory>", trust_remote_code=True). The factors are the tensor
"weights", as in model2vec, or "scales". The table in memory is float32.
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
        factors = tensors["weights"] if "weights" in tensors else tensors["scales"]
        tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        return cls(tokenizer, embedding_weights=tensors["embeddings"].float() * factors.float().unsqueeze(1))
