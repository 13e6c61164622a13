"""Writes cases.json: what transformers and sentence-transformers make of hard texts, for the tokenizer tests.

Run from the repository root in an environment with sentence-transformers 6: python test/golden/tokenizer/make.py
Models are those of ../shared/models. A case names the files of a model that it leaves out and the tokenizer_config.json
that it adds.
"""

import json
import os
import shutil
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

MODELS = "../shared/models/"
FILES = ["config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"]
TEXTS = [
    "Hello world",
    "iPhone 15 Pro Max 256GB",
    "",
    "   ",
    "\t tabs\tand\nnewlines\r\n",
    "NBSP\u00a0here\u00a0",
    "苹果手机很好用",
    "𠮷野家で𩸽を食べる",
    "emoji 😀👨\u200d👩\u200d👧 👍🏽 🇫🇷 end",
    "Café naïve ÉCOLE Straße İstanbul",
    "e\u0301a\u0308 combining o\u0323\u0302",
    "مرحبا بالعالم، كيف حالك؟",
    "Здравствуй, мир! Ёлка",
    "ひらがなカタカナ漢字",
    "한국어 텍스트",
    "a" * 150 + " long " + "b" * 99,
    "NUL\x00inside\x00",
    "[CLS] literal [SEP] tokens [MASK]",
    "price: $1,234.56 (50% off!!!) http://a.b/c?d=e",
    "…—–‘’“”",
    "\u200b\u200dzero\ufeffwidth\u2028line",
    "ﬁ ligature Ａ full Ⅷ ½",
    "\ufffd \ue000 private",
    "mixed 中文English混排123",
    "Tiếng Việt có dấu",
    "हिन्दी में पाठ",
    "𝓗𝓮𝓵𝓵𝓸",
    "I'm you're DON'T",
    "ǅ ŉ ß ẞ ς Σ",
]
LONG = ["The quick brown fox jumps over the lazy dog. " * 4, "苹果公司发布了新的手机。" * 4, "short"]
PROMPTS = ["query: ", "为这个句子生成表示以用于检索相关文章：", "word " * 600, "ends with [SEP]", "𠮷 emoji 😀 "]
MINILM, BGE = "all-MiniLM-L6-v2", "bge-small-zh-v1.5"
JSON_ONLY = ["tokenizer_config.json", "special_tokens_map.json"]
CASES = [
    {"name": "MiniLM as it is", "model": MINILM},
    {"name": "bge as it is", "model": BGE},
    {"name": "no tokenizer_config.json", "model": BGE, "drop": JSON_ONLY},
    {
        "name": "a class that takes tokenizer.json as it is",
        "model": BGE,
        "config": {"tokenizer_class": "PreTrainedTokenizerFast"},
    },
    {
        "name": "do_lower_case false",
        "model": MINILM,
        "config": {"tokenizer_class": "BertTokenizer", "do_lower_case": False},
    },
    {
        "name": "accents and Chinese characters kept",
        "model": BGE,
        "config": {"tokenizer_class": "BertTokenizerFast", "strip_accents": False, "tokenize_chinese_chars": False},
    },
    {
        "name": "accents stripped, case kept",
        "model": BGE,
        "config": {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "strip_accents": True},
    },
    {"name": "vocab.txt only", "model": BGE, "drop": ["tokenizer.json"]},
    {"name": "vocab.txt and config.json only", "model": MINILM, "drop": ["tokenizer.json", *JSON_ONLY]},
]

for case in CASES:
    with tempfile.TemporaryDirectory() as folder:
        for name in FILES:
            if name not in case.get("drop", []):
                shutil.copyfile(MODELS + case["model"] + "/" + name, folder + "/" + name)
        if "config" in case:
            with open(folder + "/tokenizer_config.json", "w") as file:
                json.dump(case["config"], file)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        encoded = tokenizer(TEXTS, return_offsets_mapping=True)
        case["ids"] = encoded["input_ids"]
        case["offsets"] = [[n for pair in one for n in pair] for one in encoded["offset_mapping"]]
        case["lengths"] = [len(ids) for ids in tokenizer(LONG)["input_ids"]]
        for side in ("right", "left"):
            tokenizer.truncation_side = side
            case[side] = tokenizer(LONG, truncation="longest_first", max_length=16)["input_ids"]

prompts = {}
for name in (MINILM, BGE):
    model = SentenceTransformer(MODELS + name)
    made = [model.preprocess(["x y"], prompt=prompt) for prompt in PROMPTS]
    prompts[name] = [{"length": one["prompt_length"], "ids": one["input_ids"][0].tolist()} for one in made]

with open("test/golden/tokenizer/cases.json", "w", encoding="utf-8") as file:
    json.dump(
        {"texts": TEXTS, "long": LONG, "maxTokens": 16, "prompts": PROMPTS, "cases": CASES, "prompted": prompts},
        file,
        ensure_ascii=True,
        separators=(",", ":"),
    )
    file.write("\n")
