"""Write the GGUF files that the node-llama-cpp peer needs, from a BERT or Qwen2 directory.

    python make_gguf.py MODEL_DIR OUT_DIR

Writes model-f32.gguf (model-bf16.gguf where the weights of the file are bfloat16) and model-q8_0.gguf. Metadata and
tensor names are those that llama.cpp reads for the architectures `bert` and `qwen2`. Pooling comes from
1_Pooling/config.json.
"""

import json
import os
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from safetensors import safe_open

BERT_TENSORS = {
    "attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm",
}
BERT_TOP = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.LayerNorm.weight": "token_embd_norm.weight",
    "embeddings.LayerNorm.bias": "token_embd_norm.bias",
}
QWEN2_TENSORS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
QWEN2_TOP = {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}
# llama.cpp leaves these as they are when it quantises: they are added, not multiplied.
NEVER_QUANTISED = {"position_embd.weight", "token_types.weight"}


def read_json(*parts):
    with open(os.path.join(*parts), encoding="utf-8") as file:
        return json.load(file)


def gguf_name(name, layers, top):
    """The GGUF name of a safetensors name, or None for tensors that encoding does not use.

    These are pooler, position_ids and lm_head.
    """
    name = name.removeprefix("bert.").removeprefix("model.")
    if name in top:
        return top[name]
    parts = name.removeprefix("encoder.layer.").removeprefix("layers.").split(".")
    if not parts[0].isdigit():
        return None
    mapped = layers.get(".".join(parts[1:-1]))
    return mapped and f"blk.{parts[0]}.{mapped}.{parts[-1]}"


def tensors(directory, layers, top):
    """(name, float32 array) of every tensor that encoding uses; bfloat16 is widened by hand because numpy has none."""
    with safe_open(os.path.join(directory, "model.safetensors"), framework="numpy") as file:
        for name in file.keys():
            target = gguf_name(name, layers, top)
            if target is None:
                continue
            try:
                yield target, file.get_tensor(name).astype(np.float32), False
            except (TypeError, AttributeError):
                yield target, read_bfloat16(os.path.join(directory, "model.safetensors"), name), True


def read_bfloat16(path, name):
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(size))[name]
        begin, end = entry["data_offsets"]
        file.seek(8 + size + begin)
        half = np.frombuffer(file.read(end - begin), np.uint16)
    return (half.astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])


def pooling_type(directory):
    config = read_json(directory, "1_Pooling", "config.json")
    if config.get("pooling_mode_lasttoken"):
        return gguf.PoolingType.LAST
    return gguf.PoolingType.CLS if config.get("pooling_mode_cls_token") else gguf.PoolingType.MEAN


def add_bert(writer, directory, config):
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    vocabulary = read_json(directory, "tokenizer.json")["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.get)
    # llama.cpp marks the start of a word, WordPiece its continuation.
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([t if t in special else t[2:] if t.startswith("##") else "\u2581" + t for t in tokens])
    writer.add_token_types([gguf.TokenType.CONTROL if t in special else gguf.TokenType.NORMAL for t in tokens])
    writer.add_token_type_count(config["type_vocab_size"])
    for add, token in (
        (writer.add_bos_token_id, "[CLS]"),
        (writer.add_eos_token_id, "[SEP]"),
        (writer.add_sep_token_id, "[SEP]"),
        (writer.add_unk_token_id, "[UNK]"),
        (writer.add_pad_token_id, "[PAD]"),
        (writer.add_mask_token_id, "[MASK]"),
    ):
        add(vocabulary[token])


def add_qwen2(writer, directory, config):
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_freq_base(config["rope_theta"])
    tokenizer = read_json(directory, "tokenizer.json")
    vocabulary = dict(tokenizer["model"]["vocab"])
    added = {entry["content"]: entry for entry in tokenizer["added_tokens"]}
    vocabulary.update({text: entry["id"] for text, entry in added.items()})
    names = {index: text for text, index in vocabulary.items()}
    tokens = [names.get(i, f"[unused{i}]") for i in range(config["vocab_size"])]
    kinds = [
        (
            gguf.TokenType.UNUSED
            if i not in names
            else gguf.TokenType.CONTROL if tokens[i] in added else gguf.TokenType.NORMAL
        )
        for i in range(len(tokens))
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]])
    end = vocabulary["<|endoftext|>"]
    writer.add_eos_token_id(end)
    writer.add_pad_token_id(end)
    writer.add_add_bos_token(False)
    # The tokenizer of the model directory appends nothing, and every peer must see the same tokens.
    writer.add_add_eos_token(False)


ARCHITECTURES = {"bert": (BERT_TENSORS, BERT_TOP, add_bert), "qwen2": (QWEN2_TENSORS, QWEN2_TOP, add_qwen2)}


def write(directory, out, kind):
    config = read_json(directory, "config.json")
    if config["model_type"] not in ARCHITECTURES:
        raise SystemExit(f"make_gguf.py knows {sorted(ARCHITECTURES)}, not {config['model_type']}")
    layers, top, add = ARCHITECTURES[config["model_type"]]
    path = os.path.join(out, f"model-{kind}.gguf")
    writer = gguf.GGUFWriter(path + ".part", config["model_type"])
    writer.add_name(os.path.basename(os.path.abspath(directory)))
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_pooling_type(pooling_type(directory))
    writer.add_file_type(
        {
            "f32": gguf.LlamaFileType.ALL_F32,
            "bf16": gguf.LlamaFileType.MOSTLY_BF16,
            "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
        }[kind]
    )
    add(writer, directory, config)
    for name, value, _ in tensors(directory, layers, top):
        matrix = value.ndim == 2 and name not in NEVER_QUANTISED
        target = {"f32": Kind.F32, "bf16": Kind.BF16, "q8_0": Kind.Q8_0}[kind] if matrix else Kind.F32
        writer.add_tensor(name, gguf.quants.quantize(value, target), raw_dtype=target)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(path + ".part", path)
    print(os.path.basename(path), os.path.getsize(path) >> 20, "MiB")


def main():
    source, out = sys.argv[1:3]
    os.makedirs(out, exist_ok=True)
    layers, top, _ = ARCHITECTURES[read_json(source, "config.json")["model_type"]]
    write(source, out, "bf16" if next(tensors(source, layers, top))[2] else "f32")
    write(source, out, "q8_0")


if __name__ == "__main__":
    main()
