"""Writes layouts/<name>/: tiny directories where files besides config.json and tokenizer.json change ids or attention.

python test/golden/make_layouts.py. The layout of the results is described in README.md beside this file.
"""

import json
from pathlib import Path

from common import HERE, fresh_directory, generator, randomise, write_json
from stack_parts import CORPUS, VERSIONS, byte_bpe, open_stack, wordpiece

import torch
from sentence_transformers.base.modules import Dense
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModel, BertConfig, MistralConfig, Qwen2Config

LAYOUTS = HERE / "layouts"
HIDDEN = 8
TEXTS = [
    "The quick brown fox",
    "",
    "a small cup, and two boxes",
    "what is the best phone for a long journey over the harbour wall?",
]
ADDED_TEXTS = [
    "[QRY] a small cup",
    "a  [QRY]  cup",
    "smartphones and a smartphone",
    "Smart-Phone boxes",
    "the [DOC]ument",
    "[MASK] [mask]",
    "[NEW] box",
]
FLAGS = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": True, "special": False}


def write_modules(directory: Path, pooling: str) -> None:
    types = ["base.modules.transformer.Transformer", "sentence_transformer.modules.pooling.Pooling"]
    write_json(
        directory / "modules.json",
        [
            {"idx": idx, "name": str(idx), "path": path, "type": "sentence_transformers." + kind}
            for idx, (path, kind) in enumerate(zip(["", "1_Pooling"], types))
        ],
    )
    (directory / "1_Pooling").mkdir()
    write_json(directory / "1_Pooling" / "config.json", {"embedding_dimension": HIDDEN, "pooling_mode": pooling})


def write_model(name: str, config, pooling: str = "mean") -> Path:
    directory = fresh_directory(LAYOUTS / name)
    model = AutoModel.from_config(config)
    randomise(model, generator("layout " + name), 0.5)
    model.save_pretrained(directory)
    write_modules(directory, pooling)
    return directory


def change(file: Path, values: dict) -> None:
    write_json(file, json.loads(file.read_text()) | values)


def write_golden(directory: Path, texts: list[str], model=None, **more) -> None:
    model = model or open_stack(directory)
    vectors = model.encode(texts, batch_size=1, convert_to_tensor=True, show_progress_bar=False)
    ids = [model.preprocess([text])["input_ids"].flatten().tolist() for text in texts]
    assert torch.isfinite(vectors).all()
    write_json(
        directory / "golden.json",
        {"versions": VERSIONS, **more, "texts": texts, "ids": ids, "vectors": vectors.tolist()},
        None,
    )


def bert(vocab: int) -> BertConfig:
    return BertConfig(
        vocab_size=vocab,
        hidden_size=HIDDEN,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=32,
    )


DECODER = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 8,
    "max_position_embeddings": 64,
}


def make_bidirectional() -> None:
    """A decoder whose config.json has is_causal false, or null, which counts as false in Python."""
    tokenizer = byte_bpe()
    for name, config, is_causal in [
        ("bidirectional-qwen2", Qwen2Config(vocab_size=tokenizer.get_vocab_size(), **DECODER), False),
        (
            "bidirectional-mistral",
            MistralConfig(vocab_size=tokenizer.get_vocab_size(), sliding_window=5, **DECODER),
            None,
        ),
    ]:
        directory = write_model(name, config)
        tokenizer.save(str(directory / "tokenizer.json"))
        write_json(
            directory / "tokenizer_config.json",
            {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<|endoftext|>"},
        )
        causal = open_stack(directory).encode(TEXTS[2])
        change(directory / "config.json", {"is_causal": is_causal})
        assert abs(open_stack(directory).encode(TEXTS[2]) - causal).max() > 0.01, "is_causal must matter"
        write_golden(directory, TEXTS)


def make_added_tokens() -> None:
    tokenizer = wordpiece()
    size = tokenizer.get_vocab_size()
    roles = {
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    }
    usual = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 32}

    # vocab.txt, added_tokens.json and special_tokens_map.json, as transformers 4 wrote them.
    directory = write_model("added-tokens-files", bert(size + 3))
    vocab = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    (directory / "vocab.txt").write_text("".join(token + "\n" for token, _ in vocab), encoding="utf-8")
    write_json(directory / "tokenizer_config.json", usual)
    write_json(directory / "added_tokens.json", {"[QRY]": size, "smartphone": size + 1, "[DOC]": size + 2})
    write_json(directory / "special_tokens_map.json", roles | {"additional_special_tokens": ["[QRY]"]})
    write_golden(directory, ADDED_TEXTS)

    # tokenizer.json without them, and added_tokens_decoder with every flag.
    directory = write_model("added-tokens-decoder", bert(size + 4))
    tokenizer.save(str(directory / "tokenizer.json"))
    special = {**FLAGS, "normalized": False, "special": True}
    decoder = {index: {"content": token, **special} for index, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])}
    decoder |= {
        4: {"content": "[MASK]", **special, "lstrip": True},
        size: {"content": "[QRY]", **special, "rstrip": True},
        size + 1: {"content": "smartphone", **FLAGS, "single_word": True},
        size + 2: {"content": "Smart-Phone", **FLAGS, "normalized": False},
    }
    write_json(
        directory / "tokenizer_config.json",
        usual
        | roles
        | {
            "added_tokens_decoder": {str(index): token for index, token in decoder.items()},
            "additional_special_tokens": ["[QRY]", "[NEW]"],
        },
    )
    write_golden(directory, ADDED_TEXTS)


def metaspace_bpe() -> Tokenizer:
    """As Llama's: the template puts the beginning token before every text, and nothing adds the end token."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=False)
    words = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    learner = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    learner.pre_tokenizer = words
    learner.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=120, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False)
    )
    learned = json.loads(learner.to_str())["model"]
    tokenizer.model = models.BPE(
        vocab=learned["vocab"],
        merges=[tuple(merge) for merge in learned["merges"]],
        unk_token="<unk>",
        fuse_unk=True,
        byte_fallback=True,
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def make_begin_end() -> None:
    """LlamaTokenizer with add_eos_token, as e5-mistral has it. transformers 5 ignores the key beside a tokenizer.json,
    so the template that LlamaTokenizerFast.update_post_processor of transformers 4 makes is set by hand."""
    tokenizer = metaspace_bpe()
    config = MistralConfig(vocab_size=tokenizer.get_vocab_size(), sliding_window=None, **DECODER)
    directory = write_model("end-token", config, "lasttoken")
    tokenizer.save(str(directory / "tokenizer.json"))
    write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "LlamaTokenizer",
            "add_bos_token": True,
            "add_eos_token": True,
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "pad_token": "</s>",
            "model_max_length": 32,
        },
    )
    model = open_stack(directory)
    model.tokenizer._tokenizer.post_processor = processors.TemplateProcessing(
        single="<s>:0 $A:0 </s>:0", pair="<s>:0 $A:0 </s>:0 <s>:1 $B:1 </s>:1", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    write_golden(directory, TEXTS, model, note="ids as transformers 4 gives them")


def make_two_poolings() -> None:
    """The second Pooling reads the token vectors again, so the first one and the Dense after it have no effect."""
    tokenizer = wordpiece()
    directory = write_model("two-poolings", bert(tokenizer.get_vocab_size()))
    tokenizer.save(str(directory / "tokenizer.json"))
    write_json(
        directory / "tokenizer_config.json",
        {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 32},
    )
    dense = Dense(HIDDEN, 4)
    randomise(dense, generator("layout dense"))
    (directory / "2_Dense").mkdir()
    dense.save(str(directory / "2_Dense"))
    (directory / "3_Pooling").mkdir()
    Pooling(HIDDEN, "max").save(str(directory / "3_Pooling"))
    modules = json.loads((directory / "modules.json").read_text())
    kinds = [("2_Dense", "base.modules.dense.Dense"), ("3_Pooling", "sentence_transformer.modules.pooling.Pooling")]
    modules += [
        {"idx": idx, "name": str(idx), "path": path, "type": "sentence_transformers." + kind}
        for idx, (path, kind) in enumerate(kinds, 2)
    ]
    write_json(directory / "modules.json", modules)
    write_golden(directory, TEXTS)


if __name__ == "__main__":
    make_bidirectional()
    make_added_tokens()
    make_begin_end()
    make_two_poolings()
    print(*sorted(path.name for path in LAYOUTS.iterdir()))
