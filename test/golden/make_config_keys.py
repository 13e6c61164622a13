"""config_keys.json: every key of config.json that the reference's configuration classes and models read, by model type.

The native test asks for each of them what it does here, so that a key that a new version of the reference acts on is
noticed when the goldens are made again.
"""

import dataclasses
import importlib
import inspect
import re

import transformers
from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from common import HERE, write_json

MODEL_TYPES = [
    "bert",
    "camembert",
    "distilbert",
    "llama",
    "mistral",
    "modernbert",
    "mpnet",
    "qwen2",
    "qwen3",
    "roberta",
    "xlm-roberta",
]
SHARED = ["transformers.modeling_rope_utils", "transformers.masking_utils"]
READS = [r"\bconfig\.([a-z]\w+)", r"getattr\((?:self\.)?config, \"([a-z]\w+)\"", r"kwargs\.(?:pop|get)\(\"([a-z]\w+)\""]
# These patterns also find other things than configuration fields: methods, and names in messages and comments.
NOT_FIELDS = {
    "allow_is_causal_skip",
    "default_theta",
    "get_text_config",
    "is_heterogeneous",
    "json",
    "standardize_rope_params",
    "validate_rope",
}


def found(source):
    return {name for pattern in READS for name in re.findall(pattern, source)}


def source_of(name):
    return inspect.getsource(importlib.import_module(name))


def keys_of(model_type):
    config = CONFIG_MAPPING[model_type]
    names = {field.name for field in dataclasses.fields(config)} | set(config.attribute_map)
    names |= found(inspect.getsource(config)) | found(
        source_of(config.__module__.replace("configuration_", "modeling_"))
    )
    names |= {name for name, value in vars(config).items() if isinstance(value, property)}
    return names


def main():
    rope, masks = (found(source_of(name)) for name in SHARED)
    base = {field.name for field in dataclasses.fields(PreTrainedConfig)}
    base |= found(inspect.getsource(PreTrainedConfig.__post_init__)) | masks
    keys = {}
    for model_type in MODEL_TYPES:
        names = base | keys_of(model_type)
        if "rope_parameters" in names:
            names |= rope | {"rope_theta", "rope_scaling", "partial_rotary_factor", "original_max_position_embeddings"}
        keys[model_type] = sorted(names - NOT_FIELDS)
    written = {"transformers_version": transformers.__version__, "keys": keys}
    write_json(HERE / "config_keys.json", written)


if __name__ == "__main__":
    main()
