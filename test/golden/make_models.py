"""Write models/<name>/: tiny random models in the Hugging Face layout, with the hidden states that transformers gives.

python test/golden/make_models.py [name ...]. The layout of the results is described in README.md beside this file.
"""

import json
import sys

from common import HERE, fresh_directory, generator, randomise, write_json, write_tensors

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    DistilBertConfig,
    LlamaConfig,
    MistralConfig,
    ModernBertConfig,
    MPNetConfig,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
    XLMRobertaConfig,
)

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

VOCAB, PREFIX = 64, 5
ENCODER = dict(
    vocab_size=VOCAB,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=40,
    max_position_embeddings=64,
)
DECODER = ENCODER | dict(num_key_value_heads=2, pad_token_id=None, bos_token_id=1, eos_token_id=2)
SMALLER = dict(hidden_size=16, num_attention_heads=2)  # variations of a family that has its full-size directory already
LLAMA3 = {  # the four frequencies of head_dim 8 fall into all three ranges: kept, blended, divided
    "rope_type": "llama3", "rope_theta": 100.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}

# name -> configuration, the class that saves it (which decides the key prefix, as in published files), dtype of the
# file
MODELS = {
    "bert": (BertConfig(**ENCODER), AutoModel, torch.float32),
    "bert-f16": (BertConfig(**ENCODER), AutoModel, torch.float16),
    "bert-legacy": (BertConfig(**ENCODER | SMALLER), AutoModelForMaskedLM, torch.float32),
    "roberta": (
        RobertaConfig(**ENCODER | dict(max_position_embeddings=66, type_vocab_size=1)),
        AutoModelForMaskedLM,
        torch.float32,
    ),
    "xlm-roberta": (
        XLMRobertaConfig(**ENCODER | dict(max_position_embeddings=66, type_vocab_size=1)),
        AutoModel,
        torch.float32,
    ),
    "distilbert": (
        DistilBertConfig(vocab_size=VOCAB, dim=32, n_layers=2, n_heads=4, hidden_dim=40, max_position_embeddings=64),
        AutoModel,
        torch.float32,
    ),
    "mpnet": (MPNetConfig(**ENCODER | dict(max_position_embeddings=66)), AutoModel, torch.float32),
    "modernbert": (
        ModernBertConfig(
            **ENCODER | dict(num_hidden_layers=4),
            global_attn_every_n_layers=2,
            local_attention=8,
            pad_token_id=0,
            bos_token_id=1,
            cls_token_id=1,
            eos_token_id=2,
            sep_token_id=2,
        ),
        AutoModelForMaskedLM,
        torch.float32,
    ),
    "qwen2": (Qwen2Config(**DECODER, tie_word_embeddings=True), AutoModelForCausalLM, torch.float32),
    "qwen2-sliding": (
        Qwen2Config(
            **DECODER | SMALLER | dict(num_key_value_heads=1, num_hidden_layers=3),
            tie_word_embeddings=True,
            use_sliding_window=True,
            sliding_window=4,
            max_window_layers=1,
        ),
        AutoModelForCausalLM,
        torch.float32,
    ),
    "qwen2-yarn": (
        Qwen2Config(**DECODER | SMALLER | dict(num_key_value_heads=1), tie_word_embeddings=True, rope_parameters=YARN),
        AutoModelForCausalLM,
        torch.float32,
    ),
    "qwen3": (Qwen3Config(**DECODER, head_dim=16, tie_word_embeddings=True), AutoModel, torch.float32),
    "llama": (LlamaConfig(**DECODER, rope_parameters=LLAMA3), AutoModelForCausalLM, torch.float32),
    "llama-bf16": (LlamaConfig(**DECODER, rope_parameters=LLAMA3), AutoModelForCausalLM, torch.bfloat16),
    "mistral": (MistralConfig(**DECODER, sliding_window=6), AutoModel, torch.float32),
}
LENGTHS = [1, 2, 7, 17, 40]
FULL = {
    "bert",
    "roberta",
    "xlm-roberta",
    "distilbert",
    "mpnet",
    "modernbert",
    "qwen2",
    "qwen3",
    "llama",
    "mistral",
}  # others: no 1 and 2
DECODERS = {"qwen2", "qwen3", "llama", "mistral"}

# config.v4.json: the same configuration in the keys of transformers 4, which most published files have.
BOTH = ["rope_parameters", "dtype", "layer_types"]  # keys that transformers 4 did not write
V4_CONFIGS = {
    "modernbert": dict(
        global_rope_theta=160000.0,
        local_rope_theta=10000.0,
        global_attn_every_n_layers=2,
        torch_dtype="float32",
        position_embedding_type="absolute",
    ),
    "qwen2": dict(rope_theta=10000.0, torch_dtype="float32"),
    "qwen2-sliding": dict(rope_theta=10000.0, torch_dtype="float32"),
    "qwen2-yarn": dict(
        rope_theta=10000.0,
        rope_scaling={"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
        torch_dtype="float32",
    ),
    "qwen3": dict(rope_theta=10000.0, rope_scaling=None, torch_dtype="float32"),
    "llama": dict(
        rope_theta=100.0, rope_scaling={k: v for k, v in LLAMA3.items() if k != "rope_theta"}, torch_dtype="float32"
    ),
    "mistral": dict(rope_theta=10000.0, torch_dtype="float32"),
}


def visible(attention, length: int, window: int | None) -> torch.Tensor:
    """[length, length] of booleans: may row i see column j.

    A window counts the token itself when causal (j > i - window) and is the reach to each side when bidirectional
    (|i - j| <= window): both as transformers defines them.
    """
    i, j = torch.arange(length)[:, None], torch.arange(length)[None, :]
    if attention == "bidirectional":
        return (i - j).abs() <= (length if window is None else window)
    sees = j <= i
    if isinstance(attention, dict):
        sees = sees | ((i < attention["prefix"]) & (j < attention["prefix"]))
    return sees if window is None else sees & (j > i - window)


def hidden_states(model, ids: list[int], attention) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        return hidden_states_of(model, ids, attention)


def hidden_states_of(model, ids: list[int], attention) -> tuple[torch.Tensor, ...]:
    kwargs = {}
    if attention != "default":
        window = getattr(model.config, "sliding_window", None)
        sees = visible(attention, len(ids), window)
        mask = torch.zeros(sees.shape, dtype=model.dtype).masked_fill(~sees, torch.finfo(torch.float32).min)
        kwargs["attention_mask"] = mask[None, None]
    states = model(input_ids=torch.tensor([ids]), output_hidden_states=True, **kwargs).hidden_states
    assert len(states) == model.config.num_hidden_layers + 1
    return tuple(state[0] for state in states)


def check_masks(model, decoder: bool) -> None:
    """Check that a 4D mask reaches every layer and has the claimed effect: change one token, see which rows move."""
    ids = list(range(3, 20))
    mask = "causal" if decoder else "bidirectional"
    if decoder:
        for a, b in zip(hidden_states(model, ids, "default"), hidden_states(model, ids, mask)):
            torch.testing.assert_close(a, b, rtol=0, atol=0)
        model.config.is_causal = False  # transformers' own way to make a decoder bidirectional
        for a, b in zip(hidden_states(model, ids, "default"), hidden_states(model, ids, "bidirectional")):
            torch.testing.assert_close(a, b, rtol=0, atol=0)
        del model.config.is_causal
    for attention in (["causal", "bidirectional", {"prefix": PREFIX}] if decoder else ["causal"]):
        before = hidden_states(model, ids, attention)[1]  # one layer: the tokens that a row sees directly
        sees = visible(attention, len(ids), getattr(model.config, "sliding_window", None))
        for j in range(len(ids)):
            after = hidden_states(model, ids[:j] + [50] + ids[j + 1 :], attention)[1]
            moved = (before != after).any(dim=1)
            assert torch.equal(moved, sees[:, j]), (attention, j)


def cases_of(name: str) -> list[dict]:
    random = generator("ids of " + name)
    lengths = LENGTHS if name in FULL else [7, 17, 40]
    cases = [
        {"name": f"len{n}", "ids": torch.randint(5, VOCAB, (n,), generator=random).tolist(), "attention": "default"}
        for n in lengths
    ]
    seventeen = cases[lengths.index(17)]["ids"]
    if name in DECODERS:
        cases.append({"name": "len17-bidirectional", "ids": seventeen, "attention": "bidirectional"})
        cases.append({"name": f"len17-prefix{PREFIX}", "ids": seventeen, "attention": {"prefix": PREFIX}})
    if name == "bert":
        cases.append({"name": "len17-causal", "ids": seventeen, "attention": "causal"})
    if name in (
        "roberta",
        "xlm-roberta",
        "mpnet",
    ):  # a literal "<pad>" in a text takes the padding position and is not counted
        cases.append(
            {
                "name": "len7-padding-id-inside",
                "ids": cases[2]["ids"][:3] + [1] + cases[2]["ids"][4:],
                "attention": "default",
            }
        )
    return cases


def rewrite_as_legacy(directory) -> None:
    """Files of 2018 to 2020: prefix `bert.`, LayerNorm.gamma/beta, int64 position ids, an unused head, few keys."""
    tensors = {k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
               for k, v in load_file(directory / "model.safetensors").items()}
    assert any(k.startswith("bert.") and k.endswith("gamma") for k in tensors)
    tensors["bert.embeddings.position_ids"] = torch.arange(ENCODER["max_position_embeddings"])[None]
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    write_json(
        directory / "config.json",
        {
            "architectures": ["BertForMaskedLM"],
            "attention_probs_dropout_prob": 0.1,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "hidden_size": 16,
            "initializer_range": 0.02,
            "intermediate_size": 40,
            "max_position_embeddings": 64,
            "model_type": "bert",
            "num_attention_heads": 2,
            "num_hidden_layers": 2,
            "type_vocab_size": 2,
            "vocab_size": VOCAB,
        },
        2,
    )


def load(directory):
    model, report = AutoModel.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    missing = [key for key in report["missing_keys"] if not key.startswith("pooler.")]
    assert not missing and not report["mismatched_keys"], report
    return model.eval()


def make(name: str) -> None:
    config, auto_class, dtype = MODELS[name]
    directory = fresh_directory(HERE / "models" / name)
    model = auto_class.from_config(config)
    randomise(model, generator(name))
    model.tie_weights()
    model.to(dtype).save_pretrained(directory, max_shard_size="30KB" if name == "llama-bf16" else "1GB")
    if name == "bert-legacy":
        rewrite_as_legacy(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)

    model = load(directory)  # from the files, so the golden is about the files
    if name in DECODERS or name == "bert":
        check_masks(model, decoder=name in DECODERS)
    cases, tensors = cases_of(name), {}
    for case in cases:
        for i, state in enumerate(hidden_states(model, case["ids"], case["attention"])):
            assert torch.isfinite(state).all() and state.abs().max() < 1e3
            tensors[f"{case['name']}.hidden.{i}"] = state
    write_json(
        directory / "golden.json",
        {"family": config.model_type, "transformers_version": transformers.__version__, "cases": cases},
        None,
    )
    write_tensors(directory / "golden.safetensors", tensors)

    if name in V4_CONFIGS:
        write_v4_config(directory, V4_CONFIGS[name], tensors, cases)


def write_v4_config(directory, keys: dict, tensors: dict, cases: list[dict]) -> None:
    config = json.loads((directory / "config.json").read_text())
    old = {k: v for k, v in config.items() if k not in BOTH} | keys | {"transformers_version": "4.48.0"}
    write_json(directory / "config.v4.json", dict(sorted(old.items())), 2)
    settings = AutoConfig.from_pretrained(directory / "config.v4.json")
    model = AutoModel.from_pretrained(
        directory, config=settings, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    for i, state in enumerate(hidden_states(model, cases[-1]["ids"], cases[-1]["attention"])):
        torch.testing.assert_close(state, tensors[f"{cases[-1]['name']}.hidden.{i}"], rtol=0, atol=0)


if __name__ == "__main__":
    for each in sys.argv[1:] or MODELS:
        make(each)
        print(each)
