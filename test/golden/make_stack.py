"""Write stack/<name>/: tiny directories saved by sentence-transformers, with the embeddings that it gives.

python test/golden/make_stack.py. The layout of the results is described in README.md beside this file.
"""

import json
import shutil
import tempfile
from pathlib import Path

from common import generator, write_json
from stack_parts import (
    EAGER,
    HIDDEN,
    STACKS,
    bert_directory,
    open_stack,
    qwen2_directory,
    save,
    transformer,
    write_golden,
)
from stack_static import make_static_stacks

import torch
from safetensors.torch import load_file, save_file
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.sentence_transformer.modules import CNN, LayerNorm, Pooling, WeightedLayerPooling
from tokenizers import AddedToken, Tokenizer, processors
from torch import nn
from transformers import AutoModel

ALL_MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
PROMPTS = {"query": "search for the query: ", "document": "", "topic": "the topic of "}
PROMPT_CASES = [
    {"name": "prompt-name", "method": "encode", "options": {"prompt_name": "topic"}},
    {"name": "prompt-text", "method": "encode", "options": {"prompt": "a small "}},
    {"name": "empty-prompt", "method": "encode", "options": {"prompt": ""}},
    {
        "name": "long-prompt",
        "method": "encode",
        "options": {"prompt": "the quick brown fox jumps over the lazy dog and the old captain " * 2},
    },
    {"name": "query", "method": "encode_query", "options": {}},
    {"name": "document", "method": "encode_document", "options": {}},
    {"name": "shorter", "method": "encode", "options": {}, "max_seq_length": 5},
    {"name": "shorter-query", "method": "encode_query", "options": {}, "max_seq_length": 9},
]


def rewrite_as_old_format(directory: Path) -> None:
    """The layout of sentence-transformers 2.

    Old type names, boolean pooling keys, max_seq_length in sentence_bert_config.json, the old Dense.
    """
    modules = json.loads((directory / "modules.json").read_text())
    for module in modules:
        module["type"] = "sentence_transformers.models." + module["type"].rsplit(".", 1)[1]
    write_json(directory / "modules.json", modules, 2)
    write_json(directory / "sentence_bert_config.json", {"max_seq_length": 12, "do_lower_case": False}, 2)
    write_json(
        directory / "config_sentence_transformers.json",
        {"__version__": {"sentence_transformers": "2.0.0", "transformers": "4.6.1", "pytorch": "1.8.1"}},
        2,
    )
    write_json(
        directory / "1_Pooling" / "config.json",
        {
            "word_embedding_dimension": HIDDEN,
            "pooling_mode_cls_token": True,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
        2,
    )
    write_json(
        directory / "2_Dense" / "config.json",
        {
            "in_features": 2 * HIDDEN,
            "out_features": 8,
            "bias": True,
            "activation_function": "torch.nn.modules.activation.Tanh",
        },
        2,
    )
    shutil.rmtree(directory / "3_Normalize", ignore_errors=True)
    tokenizer = json.loads((directory / "tokenizer.json").read_text())
    tokenizer["truncation"] = {"direction": "Right", "max_length": 10, "strategy": "LongestFirst", "stride": 0}
    tokenizer["padding"] = {
        "strategy": {"Fixed": 16},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    write_json(directory / "tokenizer.json", tokenizer, None)
    # Weight names of the first BERT files.
    tensors = {"bert." + k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
               for k, v in load_file(directory / "model.safetensors").items()}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


def make_bert_stacks(bert: Path) -> None:
    def pooling(mode, **kwargs):
        return Pooling(HIDDEN, mode, **kwargs)

    def dense(inputs, outputs, **kwargs):
        return Dense(inputs, outputs, **kwargs)

    write_golden(
        save(
            "cls-dense-tanh",
            [transformer(bert), pooling("cls"), dense(HIDDEN, 12, activation_function=nn.Tanh())],
            "dot",
        )
    )
    write_golden(
        save(
            "max-dense-identity",
            [transformer(bert), pooling("max"), dense(HIDDEN, 8, bias=False, activation_function=nn.Identity())],
            "manhattan",
        )
    )
    write_golden(save("mean-normalize", [transformer(bert), pooling("mean"), Normalize()]))
    write_golden(
        save(
            "mean-sqrt-len-layernorm",
            [transformer(bert), pooling("mean_sqrt_len_tokens"), LayerNorm(HIDDEN)],
            "euclidean",
        )
    )
    write_golden(
        save(
            "weightedmean-dense-residual",
            [
                transformer(bert),
                pooling("weightedmean"),
                dense(HIDDEN, HIDDEN, activation_function=nn.GELU(), use_residual=True),
                dense(HIDDEN, 10, activation_function=nn.Sigmoid(), use_residual=True),
                Normalize(),
            ],
        )
    )
    write_golden(save("lasttoken", [transformer(bert), pooling("lasttoken")]))
    write_golden(save("list-mean-max", [transformer(bert), pooling(["mean", "max"])]))
    check_weighted_layers(
        write_golden(
            save(
                "weighted-layers",
                [
                    transformer(bert, output_hidden_states=True),
                    WeightedLayerPooling(HIDDEN, num_hidden_layers=2, layer_start=1),
                    pooling("mean"),
                ],
            )
        ),
        bert,
    )
    write_golden(
        save(
            "prompts", [transformer(bert), pooling("mean"), Normalize()], prompts=PROMPTS, default_prompt_name="topic"
        ),
        PROMPT_CASES,
    )
    write_golden(
        save("prompts-excluded", [transformer(bert), pooling(ALL_MODES, include_prompt=False)], prompts=PROMPTS),
        PROMPT_CASES,
    )

    old = save(
        "old-format",
        [transformer(bert), pooling(["cls", "mean"]), dense(2 * HIDDEN, 8, activation_function=nn.Tanh()), Normalize()],
    )
    rewrite_as_old_format(old)
    assert open_stack(old).max_seq_length == 12
    write_golden(old)

    write_golden(
        save(
            "relu-silu",
            [
                transformer(bert),
                pooling("mean"),
                dense(HIDDEN, 12, activation_function=nn.ReLU()),
                dense(12, 9, bias=False, activation_function=nn.SiLU()),
            ],
        )
    )
    directory = save("truncate-dim", [transformer(bert), pooling("mean")], truncate_dim=6)
    write_golden(directory)

    old = save("old-poolings", [transformer(bert), pooling(ALL_MODES)])
    write_json(
        old / "1_Pooling" / "config.json",
        {
            "word_embedding_dimension": HIDDEN,
            "pooling_mode_cls_token": True,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": True,
            "pooling_mode_mean_sqrt_len_tokens": True,
            "pooling_mode_weightedmean_tokens": True,
            "pooling_mode_lasttoken": True,
            "include_prompt": True,
        },
        2,
    )
    write_golden(old)

    refused = save(
        "refused-cnn", [transformer(bert), CNN(HIDDEN, out_channels=4, kernel_sizes=[1, 3]), Pooling(8, "mean")]
    )
    assert "CNN" in (refused / "modules.json").read_text()


def check_weighted_layers(tensors: dict, bert: Path) -> None:
    """The module has no effect, without a warning, if the configuration does not enable hidden states."""
    plain = open_stack(STACKS / "list-mean-max").encode(["phone"], convert_to_tensor=True)[:, :HIDDEN]
    assert (tensors["default"][1] - plain[0]).abs().max() > 0.01


def make_decoder_stack(qwen2: Path) -> None:
    directory = save("decoder", [transformer(qwen2), Pooling(HIDDEN, "lasttoken"), Normalize()],
                     prompts={"query": "Instruct: find the phone\nQuery:", "document": ""})
    tensors = write_golden(
        directory,
        [
            case
            for case in PROMPT_CASES
            if case["name"] in ("query", "document", "prompt-text", "shorter", "shorter-query")
        ],
    )
    golden = json.loads((directory / "golden.json").read_text())
    end = max(max(ids) for ids in golden["cases"][0]["ids"])
    assert all(ids[-1] == end for ids in golden["cases"][0]["ids"]), "the end token must survive truncation"
    assert torch.isfinite(tensors["default"]).all()


def with_cls(directory: Path, source: Path, first: bool) -> Path:
    """A copy of a decoder with a [CLS] token, whose row is drawn like the others."""
    shutil.copytree(source, directory)
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken("[CLS]", special=True)])
    own, end = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("<|endoftext|>")
    tokens = [("[CLS]", own), ("<|endoftext|>", end)]
    around = "[CLS] $A <|endoftext|>" if first else "$A <|endoftext|> [CLS]"
    tokenizer.post_processor = processors.TemplateProcessing(single=around, special_tokens=tokens)
    tokenizer.save(str(directory / "tokenizer.json"))
    config = json.loads((directory / "tokenizer_config.json").read_text())
    more = {"cls_token": "[CLS]", **({"padding_side": "right"} if first else {})}
    write_json(directory / "tokenizer_config.json", config | more, 2)
    model = AutoModel.from_pretrained(source, **EAGER)
    model.resize_token_embeddings(own + 1, mean_resizing=False)
    with torch.no_grad():
        row = torch.randn(HIDDEN, generator=generator(f"stack cls {first}")) * 0.2
        model.get_input_embeddings().weight[own] = row
    if first:
        model.config.is_causal = False
    model.save_pretrained(directory)
    return directory


def make_cls_stacks(qwen2: Path, scratch: Path) -> None:
    for first in (False, True):
        source = with_cls(scratch / f"cls-{first}", qwen2, first)
        pooling = Pooling(HIDDEN, "cls" if first else "lasttoken")
        write_golden(save(f"decoder-cls-{'first' if first else 'last'}", [transformer(source), pooling, Normalize()]))

def make_bare_directories(bert: Path, qwen2: Path) -> None:
    """Plain Hugging Face directories.

    sentence-transformers pools an encoder by its mean, a causal language model by its last token.
    """
    shutil.copytree(bert, STACKS / "bare-bert")
    write_golden(STACKS / "bare-bert")
    directory = STACKS / "bare-qwen2"
    shutil.copytree(qwen2, directory)
    config = json.loads((directory / "config.json").read_text()) | {"architectures": ["Qwen2ForCausalLM"]}
    write_json(directory / "config.json", config, 2)
    tensors = {"model." + name: tensor for name, tensor in load_file(directory / "model.safetensors").items()}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    write_golden(directory)


if __name__ == "__main__":
    shutil.rmtree(STACKS, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        make_bert_stacks(bert_directory(Path(scratch) / "bert"))
        make_decoder_stack(qwen2_directory(Path(scratch) / "qwen2"))
        make_cls_stacks(Path(scratch) / "qwen2", Path(scratch))
        make_bare_directories(Path(scratch) / "bert", Path(scratch) / "qwen2")
    make_static_stacks()
    print(*sorted(path.name for path in STACKS.iterdir()))
