"""Parts of the tiny sentence-transformers directories: tiny tokenizers, tiny encoders, texts, the golden writer."""

import re
from collections import Counter
from pathlib import Path

from common import HERE, fresh_directory, generator, randomise, write_json, write_tensors

import sentence_transformers
import tokenizers
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModel, BertConfig, Qwen2Config

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

STACKS = HERE / "stack"
EAGER = {"dtype": torch.float32, "attn_implementation": "eager"}
HIDDEN, POSITIONS, MAX_LENGTH, VOCAB = 16, 32, 24, 160
VERSIONS = {
    "sentence_transformers": sentence_transformers.__version__, "transformers": transformers.__version__,
    "tokenizers": tokenizers.__version__, "torch": torch.__version__,
}
CORPUS = [
    "The quick brown fox jumps over the lazy dog while the old captain counts the boxes on the harbour wall.",
    "A small ceramic cup, a phone case and two machine parts were returned by the customer on Tuesday.",
    "Search for the query: what is the best phone for a long journey? Represent the document for retrieval.",
    "Quick customers count small boxes; lazy captains jump over old cups. The journey was long, the harbour small.",
] * 4
TEXTS = [
    "The quick brown fox",
    "phone",
    "",
    "  a small   cup\tand two boxes  ",
    "Café, the OLD captain!",
    "unknown 世界 😀 words",
    "What is the best phone case for a long journey over the harbour wall, "
    "and which customer returned the two machine parts on Tuesday? Represent the document for retrieval!",
]


def wordpiece() -> Tokenizer:
    """A tokenizer like BERT's: lowercase, strip accents, [CLS] a [SEP].

    The vocabulary is made by hand: the library's trainer breaks ties at random.
    """
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = Counter(re.findall(r"[a-z]+", " ".join(CORPUS).lower()))
    letters = sorted(set("".join(words)))
    # The rarer words are left to pieces: their first two letters, then letter by letter or by a frequent ending.
    whole = sorted(words, key=lambda word: (-words[word], word))[:40]
    pieces = sorted({word[:2] for word in words} - set(whole)) + [
        "##" + ending for ending in ("ed", "er", "es", "ing", "on", "ure")
    ]
    vocab = [*special, *".,?;:!-", *letters, *("##" + letter for letter in letters), *whole, *pieces][:VOCAB]
    tokenizer = Tokenizer(
        models.WordPiece({token: i for i, token in enumerate(vocab)}, unk_token="[UNK]", max_input_chars_per_word=100)
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return tokenizer


def byte_bpe() -> Tokenizer:
    """Byte-level; the template adds the end token after every text, as in Qwen3-Embedding."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=256 + 64, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
    end = tokenizer.token_to_id("<|endoftext|>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|>", pair="$A $B <|endoftext|>", special_tokens=[("<|endoftext|>", end)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def bert_directory(path: Path) -> Path:
    """A Hugging Face directory: tiny BERT with a WordPiece tokenizer."""
    fresh_directory(path)
    tokenizer = wordpiece()
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=POSITIONS,
    )
    model = AutoModel.from_config(config)
    randomise(model, generator("stack bert"))
    model.save_pretrained(path)
    tokenizer.save(str(path / "tokenizer.json"))
    write_json(path / "tokenizer_config.json", {
        "tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": MAX_LENGTH, "unk_token": "[UNK]",
        "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"})
    return path


def qwen2_directory(path: Path) -> Path:
    """A Hugging Face directory: tiny Qwen2 with a byte-level BPE tokenizer."""
    fresh_directory(path)
    tokenizer = byte_bpe()
    end = tokenizer.token_to_id("<|endoftext|>")
    config = Qwen2Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=24,
        max_position_embeddings=POSITIONS,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=None,
    )
    model = AutoModel.from_config(config)
    randomise(model, generator("stack qwen2"))
    model.save_pretrained(path)
    tokenizer.save(str(path / "tokenizer.json"))
    write_json(
        path / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": MAX_LENGTH,
            "eos_token": "<|endoftext|>",
            "pad_token": "<|endoftext|>",
            "padding_side": "left",
            "clean_up_tokenization_spaces": False,
        },
    )
    return path


def transformer(directory: Path, **config) -> Transformer:
    return Transformer(str(directory), model_kwargs=dict(EAGER), config_kwargs=config)


def save(name: str, modules: list, similarity: str = "cosine", **prompts) -> Path:
    """Random weights for the modules after the transformer, then save_pretrained of sentence-transformers."""
    directory = fresh_directory(STACKS / name)
    random = generator("stack " + name)
    for module in modules[1:]:
        randomise(module, random)
    model = SentenceTransformer(modules=modules, device="cpu", similarity_fn_name=similarity, **prompts)
    model.save_pretrained(str(directory), create_model_card=False)
    return directory


def open_stack(directory: Path, **kwargs) -> SentenceTransformer:
    return SentenceTransformer(str(directory), device="cpu", model_kwargs=dict(EAGER), **kwargs)


def ids_of(model, text: str, prompt: str | None) -> list[int]:
    return model.preprocess([text], prompt=prompt)["input_ids"].flatten().tolist()


COMMON_CASES = [
    {"name": "default", "method": "encode", "options": {}},
    {"name": "normalized", "method": "encode", "options": {"normalize_embeddings": True}},
    {"name": "truncated", "method": "encode", "options": {"truncate_dim": 5}},
    {"name": "truncated-normalized", "method": "encode", "options": {"truncate_dim": 5, "normalize_embeddings": True}},
]


def write_golden(
    directory: Path, more_cases: list[dict] = [], texts: list[str] = TEXTS, model: SentenceTransformer | None = None
) -> dict[str, torch.Tensor]:
    """Write golden.json and golden.safetensors from the directory (or a model made of it), one text at a time."""
    whole = model or open_stack(directory)
    cases, tensors = [], {}
    limit = finite(whole.max_seq_length)
    assert limit is None or len(whole.tokenizer(texts[-1])["input_ids"]) > limit, "one text must be cut"
    for case in COMMON_CASES + more_cases:
        options = case["options"]
        name = (
            options.get("prompt_name") or {"encode_query": "query", "encode_document": "document"}.get(case["method"])
            if "prompt" not in options
            else None
        )
        prompt = whole._resolve_prompt(options.get("prompt"), name)
        model = whole
        if "max_seq_length" in case:  # opened again, because sentence-transformers caches a prompt's length
            model = open_stack(directory)
            model.max_seq_length = case["max_seq_length"]
        encode = getattr(model, case["method"])
        embeddings = encode(texts, batch_size=1, convert_to_tensor=True, show_progress_bar=False, **options)
        assert torch.isfinite(embeddings).all()
        tensors[case["name"]] = embeddings
        cases.append(case | {"prompt": prompt or "", "ids": [ids_of(model, text, prompt) for text in texts]})
    tensors["similarity"] = whole.similarity(tensors["default"], tensors["default"])
    write_json(
        directory / "golden.json",
        {
            "versions": VERSIONS,
            "modules": [type(module).__name__ for module in whole],
            "max_seq_length": finite(whole.max_seq_length),
            "dimensions": whole.get_embedding_dimension(),
            "similarity_fn_name": whole.similarity_fn_name,
            "texts": texts,
            "cases": cases,
        },
        None,
    )
    write_tensors(directory / "golden.safetensors", tensors)
    return tensors


def finite(length):
    return None if length is None or length == float("inf") else length
