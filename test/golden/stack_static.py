"""Static directories: sentence-transformers' StaticEmbedding and model2vec's layouts, one row of numbers a token."""
import shutil
from pathlib import Path

from common import HERE, fresh_directory, generator, write_json, write_tensors
from stack_parts import HIDDEN, STACKS, TEXTS, open_stack, wordpiece, write_golden

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

# The class that lets sentence-transformers open int8 rows, copied into the directory as in the built-in model.
INT8_CLASS = HERE.parents[1] / "scripts" / "default-model" / "static_embedding_int8.py"
# A static model does not cut, so its texts may be long; and a text may have no tokens.
STATIC_TEXTS = [*TEXTS, "   ", "the quick captain counts boxes " * 30]


def table(name: str, vocab: int) -> torch.Tensor:
    return torch.randn((vocab, HIDDEN), generator=generator("static " + name)) * 0.3


def model2vec_directory(
    name: str, tensors, normalize: bool, modules: bool, type_name: str = "sentence_transformers.models.StaticEmbedding"
) -> Path:
    """The layout that model2vec writes.

    Tensor "embeddings", its own config.json, and modules.json for sentence-transformers or (older) none.
    """
    directory = fresh_directory(STACKS / name)
    tokenizer = wordpiece()
    tokenizer.save(str(directory / "tokenizer.json"))
    write_tensors(directory / "model.safetensors", tensors(tokenizer.get_vocab_size()))
    write_json(
        directory / "config.json",
        {
            "model_type": "model2vec",
            "architectures": ["StaticModel"],
            "tokenizer_name": "tiny",
            "apply_pca": HIDDEN,
            "apply_zipf": True,
            "hidden_dim": HIDDEN,
            "seq_length": 1000000,
            "normalize": normalize,
        },
        2,
    )
    if modules:
        entries = [{"idx": 0, "name": "0", "path": ".", "type": type_name}]
        if normalize:
            entries.append(
                {"idx": 1, "name": "1", "path": "1_Normalize", "type": "sentence_transformers.models.Normalize"}
            )
        write_json(directory / "modules.json", entries, 2)
    return directory


def int8_rows(vocab: int) -> dict[str, torch.Tensor]:
    rows = table("int8", vocab)
    scales = rows.abs().amax(dim=1) / 127
    return {"embeddings": torch.round(rows / scales[:, None]).to(torch.int8), "scales": scales}


def make_static_stacks() -> None:
    vocab = wordpiece().get_vocab_size()
    static = StaticEmbedding(wordpiece(), embedding_weights=table("plain", vocab))
    # Not with save(), which would replace the table by random weights, as for the modules after a transformer.
    directory = fresh_directory(STACKS / "static")
    SentenceTransformer(modules=[static], device="cpu", similarity_fn_name="dot").save_pretrained(
        str(directory), create_model_card=False
    )
    tensors = write_golden(directory, texts=STATIC_TEXTS)
    assert tensors["default"][2].abs().max() == 0, "a text without tokens has no vector but zeros"

    directory = model2vec_directory(
        "static-model2vec-f16", lambda vocab: {"embeddings": table("f16", vocab).half()}, normalize=True, modules=True
    )
    write_golden(
        directory, texts=STATIC_TEXTS, model=open_stack(directory).float()
    )  # the reference would compute in float16

    directory = model2vec_directory(
        "static-int8", int8_rows, normalize=True, modules=True, type_name="static_embedding_int8.Int8StaticEmbedding"
    )
    shutil.copy(INT8_CLASS, directory / INT8_CLASS.name)
    write_golden(directory, texts=STATIC_TEXTS, model=open_stack(directory, trust_remote_code=True))

    # Without modules.json sentence-transformers opens the parts, not the directory.
    directory = model2vec_directory(
        "static-model2vec-bare", lambda vocab: {"embeddings": table("bare", vocab)}, normalize=True, modules=False
    )
    parts = [StaticEmbedding.load(str(directory)), Normalize()]
    write_golden(directory, texts=STATIC_TEXTS, model=SentenceTransformer(modules=parts, device="cpu"))
