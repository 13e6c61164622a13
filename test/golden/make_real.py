"""Writes real/: results of sentence-transformers and transformers for the real models in the shared folder.

python test/golden/make_real.py [path of the models, ../shared/models by default, seen from the repository root]
"""
import sys
from pathlib import Path

from common import HERE, fresh_directory, generator, write_json, write_tensors

import sentence_transformers
import torch
import transformers
from sentence_transformers import SentenceTransformer
from transformers import AutoModel

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

MODELS = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parents[2] / "shared" / "models"
VERSIONS = {
    "sentence_transformers": sentence_transformers.__version__,
    "transformers": transformers.__version__,
    "torch": torch.__version__,
}

PARAGRAPH = (
    "The harbour opened at six. Three lorries were already waiting by the gate, "
    "their drivers drinking coffee from paper cups and "
    "arguing about football. Inside, the crane operator checked her list: "
    "forty-two containers of ceramics from Valencia, nineteen of "
    "machine parts, and one small crate marked fragile that nobody remembered ordering. She signed for it anyway. "
)
PARAGRAPH_ZH = "清晨六点，港口开门了。三辆卡车已经在门口等候，司机们一边喝着咖啡，一边谈论昨晚的足球比赛。吊车操作员核对了清单：四十二箱来自景德镇的瓷器，十九箱机器零件，还有一个标着“易碎”的小木箱，没有人记得是谁订的。"
TEXTS = [
    "apple",
    "How do I return a damaged phone?",
    "iPhone 15 Pro Max 256GB, natural titanium",
    "",
    "   ",
    "  leading and trailing spaces  ",
    "tabs\tand\nnew lines\r\nin between",
    "Crème brûlée à la carte, señor Müller's naïve façade",
    "Cre\u0300me bru\u0302le\u0301e decomposed",
    "😀 great product 👍🏽 would buy again ❤️ 👨\u200d👩\u200d👧",
    "3.14159 1,234,567.89 $49.99 (50% off) 2024-06-07T08:09:10Z +86 138-0013-8000",
    "苹果",
    "苹果发布了新款手机。",
    "我想退换一部屏幕损坏的手机，请问怎么办理？",
    "iPhone 15 手机壳 TPU材质 适用于Apple苹果",
    "𠮷野家の牛丼と𩸽の塩焼き",
    "ひらがな カタカナ 漢字 한국어 텍스트",
    "Здравствуй, мир! مرحبا بالعالم नमस्ते दुनिया",
    "¿Dónde está la biblioteca? ¡Aquí!",
    "donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "a" * 130,
    "http://example.com/a/b?c=d&e=f#g user.name+tag@example.org C++20 <b>html</b> __init__",
    PARAGRAPH,
    PARAGRAPH_ZH,
    PARAGRAPH * 11,
    PARAGRAPH_ZH * 8,
    "truncation in a mixed text 混排 " * 40,
]
TOKEN_TEXT = "  Café 😀 iPhone\tunbelievable 苹果𠮷 end "


def utf16(text: str, offset: int) -> int:
    return len(text[:offset].encode("utf-16-le")) // 2


def load(name: str) -> SentenceTransformer:
    return SentenceTransformer(
        str(MODELS / name), device="cpu", model_kwargs={"dtype": torch.float32, "attn_implementation": "eager"}
    )


def encode(model, texts: list[str], **kwargs) -> torch.Tensor:
    return model.encode(
        texts, batch_size=1, convert_to_tensor=True, normalize_embeddings=True, show_progress_bar=False, **kwargs
    )


def ids_of(model, text: str, prompt: str | None = None) -> list[int]:
    return model.preprocess([text], prompt=prompt)["input_ids"][0].tolist()


def sentences(model) -> tuple[dict, dict]:
    """The part that all real models have: texts, their ids, normalised embeddings; and the tokens of one text."""
    ids = [ids_of(model, text) for text in TEXTS]
    assert max(len(i) for i in ids) == model.max_seq_length
    untruncated = [len(model.tokenizer(text, truncation=False)["input_ids"]) for text in TEXTS]
    tokens = model.tokenizer(TOKEN_TEXT, return_offsets_mapping=True)
    assert tokens["input_ids"] == ids_of(model, TOKEN_TEXT)
    offsets = [list(pair) for pair in tokens["offset_mapping"]]
    golden = {
        "versions": VERSIONS,
        "max_seq_length": model.max_seq_length,
        "texts": TEXTS,
        "ids": ids,
        "untruncated_lengths": untruncated,
        "tokens": {
            "text": TOKEN_TEXT,
            "ids": tokens["input_ids"],
            "pieces": model.tokenizer.convert_ids_to_tokens(tokens["input_ids"]),
            "offsets_code_points": offsets,
            "offsets_utf16": [[utf16(TOKEN_TEXT, a), utf16(TOKEN_TEXT, b)] for a, b in offsets],
        },
    }
    tensors = {"embeddings": encode(model, TEXTS)}
    assert torch.allclose(tensors["embeddings"].norm(dim=1), torch.ones(len(TEXTS)), atol=1e-6)
    tensors["tokens"] = model.encode(TOKEN_TEXT, output_value="token_embeddings", show_progress_bar=False)
    assert len(tensors["tokens"]) == len(tokens["input_ids"])
    return golden, tensors


def minilm(directory: Path) -> None:
    model = load("all-MiniLM-L6-v2")
    golden, tensors = sentences(model)
    text = TEXTS[1]
    golden["hidden"] = {"text": text, "ids": ids_of(model, text)}
    with torch.no_grad():
        states = model[0].model(torch.tensor([golden["hidden"]["ids"]]), output_hidden_states=True).hidden_states
    for i, state in enumerate(states):
        tensors[f"hidden.{i}"] = state[0]
    write_json(directory / "all-MiniLM-L6-v2.json", golden, None)
    write_tensors(directory / "all-MiniLM-L6-v2.safetensors", tensors)


def bge(directory: Path) -> None:
    model = load("bge-small-zh-v1.5")
    golden, tensors = sentences(model)
    queries = [TEXTS[i] for i in (0, 3, 11, 13, 25)]
    prompt = model.prompts["query"]
    golden["queries"] = {
        "prompt_name": "query",
        "prompt": prompt,
        "texts": queries,
        "ids": [ids_of(model, text, prompt) for text in queries],
    }
    tensors["queries"] = encode(model, queries, prompt_name="query")
    assert torch.equal(
        tensors["queries"], model.encode_query(queries, batch_size=1, convert_to_tensor=True, normalize_embeddings=True)
    )
    assert torch.equal(
        encode(model, queries),
        model.encode_document(queries, batch_size=1, convert_to_tensor=True, normalize_embeddings=True),
    )
    write_json(directory / "bge-small-zh-v1.5.json", golden, None)
    write_tensors(directory / "bge-small-zh-v1.5.safetensors", tensors)


def stories(directory: Path) -> None:
    name = "stories260K-qwen2"
    model = AutoModel.from_pretrained(MODELS / name, dtype=torch.float32, attn_implementation="eager").eval()
    random = generator(name)
    cases = [
        {"name": f"len{n}", "ids": [1] + torch.randint(3, 512, (n - 1,), generator=random).tolist()}
        for n in (1, 2, 9, 33, 150)
    ]
    tensors = {}
    for case in cases:
        with torch.no_grad():
            state = model(torch.tensor([case["ids"]])).last_hidden_state[0]
        if len(case["ids"]) <= 33:
            tensors[f"{case['name']}.last"] = state
        tensors[f"{case['name']}.mean"] = state.mean(dim=0)
    write_json(directory / f"{name}.json", {"versions": VERSIONS, "cases": cases}, None)
    write_tensors(directory / f"{name}.safetensors", tensors)


if __name__ == "__main__":
    target = fresh_directory(HERE / "real")
    minilm(target)
    bge(target)
    stories(target)
