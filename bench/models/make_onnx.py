"""Write the ONNX files that the onnxruntime peers need, from a BERT directory (config.json + model.safetensors).

    python make_onnx.py MODEL_DIR OUT_DIR

The graph is the classic export of a BERT (dynamic batch and sequence; inputs input_ids, attention_mask, token_type_ids;
output last_hidden_state), built by hand because tracing differs between framework versions. Four files come out:

    model.onnx             plain float32, what transformers.js loads as dtype 'fp32'
    model_quantized.onnx   dynamic int8 of it, what transformers.js loads as dtype 'q8'
    model_fused.onnx       after onnxruntime's transformer optimiser (fused attention, skip layer norm, bias gelu)
    model_fused_int8.onnx  dynamic int8 of the fused one: the fastest a careful onnxruntime user gets
"""
import json
import math
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

OPSET = 17
# onnxruntime's own default for "minus infinity" in masks of classic exports; exp() of it is 0 in float32.
MASKED = -10000.0


class Graph:
    """Collects nodes and constants; every helper returns the name of what it made."""

    def __init__(self):
        self.nodes, self.constants = [], {}

    def constant(self, name, value):
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.array(value, order="C"), name)
        return name

    def op(self, kind, inputs, name, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name + "/" + kind, **attributes))
        return name

    def linear(self, x, weights, prefix, name):
        """x W^T + b with W stored [out, in], as a MatMul and an Add.

        This is the pattern that the optimiser and the quantiser look for.
        """
        w = self.constant(prefix + ".weight", weights[prefix + ".weight"].T)
        b = self.constant(prefix + ".bias", weights[prefix + ".bias"])
        return self.op("Add", [b, self.op("MatMul", [x, w], name + "/product")], name)

    def norm(self, x, weights, prefix, name, epsilon):
        scale = self.constant(prefix + ".weight", weights[prefix + ".weight"])
        bias = self.constant(prefix + ".bias", weights[prefix + ".bias"])
        return self.op("LayerNormalization", [x, scale, bias], name, axis=-1, epsilon=epsilon)

    def gelu(self, x, name):
        g = self.op("Div", [x, self.constant("sqrt2", np.float32(math.sqrt(2.0)))], name + "/scaled")
        g = self.op(
            "Add", [self.op("Erf", [g], name + "/erf"), self.constant("one", np.float32(1))], name + "/plus_one"
        )
        return self.op("Mul", [self.op("Mul", [x, g], name + "/gated"), self.constant("half", np.float32(0.5))], name)


def embeddings(g, weights, epsilon):
    p = "embeddings."
    words = g.op("Gather", [g.constant(p + "word", weights[p + "word_embeddings.weight"]), "input_ids"], "embed/word")
    types = g.op(
        "Gather", [g.constant(p + "type", weights[p + "token_type_embeddings.weight"]), "token_type_ids"], "embed/type"
    )
    positions = weights[p + "position_embeddings.weight"]
    length = g.op(
        "Gather",
        [g.op("Shape", ["input_ids"], "embed/shape"), g.constant("index_1", np.int64(1))],
        "embed/length",
        axis=0,
    )
    end = g.op("Unsqueeze", [length, g.constant("axis_0", np.array([0], np.int64))], "embed/end")
    ids = g.op(
        "Slice",
        [
            g.constant("position_ids", np.arange(len(positions), dtype=np.int64)[None]),
            g.constant("start", np.array([0], np.int64)),
            end,
            g.constant("axis_1", np.array([1], np.int64)),
        ],
        "embed/position_ids",
    )
    places = g.op("Gather", [g.constant(p + "position", positions), ids], "embed/position")
    total = g.op("Add", [g.op("Add", [words, types], "embed/word_type"), places], "embed/sum")
    return g.norm(total, weights, p + "LayerNorm", "embed/out", epsilon)


def mask(g):
    """[batch, sequence] of 0/1 -> [batch, 1, 1, sequence] of MASKED/0."""
    m = g.op("Unsqueeze", ["attention_mask", g.constant("axis_1", np.array([1], np.int64))], "mask/rows")
    m = g.op("Unsqueeze", [m, g.constant("axis_2", np.array([2], np.int64))], "mask/heads")
    m = g.op("Cast", [m], "mask/float", to=TensorProto.FLOAT)
    m = g.op("Sub", [g.constant("one", np.float32(1)), m], "mask/inverted")
    return g.op("Mul", [m, g.constant("masked", np.float32(MASKED))], "mask/out")


def layer(g, x, bias, weights, config, index):
    p, n = f"encoder.layer.{index}.", f"layer{index}"
    heads, hidden, epsilon = config["num_attention_heads"], config["hidden_size"], config["layer_norm_eps"]
    split = g.constant("split_heads", np.array([0, 0, heads, hidden // heads], np.int64))

    def heads_of(which, perm):
        y = g.linear(x, weights, p + f"attention.self.{which}", f"{n}/{which}")
        return g.op("Transpose", [g.op("Reshape", [y, split], f"{n}/{which}/split")], f"{n}/{which}/heads", perm=perm)

    q, k, v = heads_of("query", [0, 2, 1, 3]), heads_of("key", [0, 2, 3, 1]), heads_of("value", [0, 2, 1, 3])
    scores = g.op(
        "Div",
        [g.op("MatMul", [q, k], f"{n}/qk"), g.constant("sqrt_head", np.float32(math.sqrt(hidden // heads)))],
        f"{n}/scores",
    )
    weight = g.op("Softmax", [g.op("Add", [scores, bias], f"{n}/masked")], f"{n}/softmax", axis=-1)
    joined = g.op("Transpose", [g.op("MatMul", [weight, v], f"{n}/context")], f"{n}/context/rows", perm=[0, 2, 1, 3])
    joined = g.op("Reshape", [joined, g.constant("join_heads", np.array([0, 0, hidden], np.int64))], f"{n}/joined")
    out = g.linear(joined, weights, p + "attention.output.dense", f"{n}/attention")
    x = g.norm(
        g.op("Add", [out, x], f"{n}/residual1"), weights, p + "attention.output.LayerNorm", f"{n}/norm1", epsilon
    )
    up = g.gelu(g.linear(x, weights, p + "intermediate.dense", f"{n}/up"), f"{n}/gelu")
    down = g.linear(up, weights, p + "output.dense", f"{n}/down")
    name = "last_hidden_state" if index == config["num_hidden_layers"] - 1 else f"{n}/norm2"
    return g.norm(g.op("Add", [down, x], f"{n}/residual2"), weights, p + "output.LayerNorm", name, epsilon)


def build(directory):
    with open(os.path.join(directory, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    if config["model_type"] != "bert" or config["hidden_act"] != "gelu":
        raise SystemExit(
            f"make_onnx.py builds BERT graphs with exact gelu, not {config['model_type']} / {config.get('hidden_act')}"
        )
    weights = {
        name.removeprefix("bert."): value
        for name, value in load_file(os.path.join(directory, "model.safetensors")).items()
    }
    g = Graph()
    x, bias = embeddings(g, weights, config["layer_norm_eps"]), mask(g)
    for index in range(config["num_hidden_layers"]):
        x = layer(g, x, bias, weights, config, index)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    output = helper.make_tensor_value_info(
        "last_hidden_state", TensorProto.FLOAT, ["batch", "sequence", config["hidden_size"]]
    )
    graph = helper.make_graph(g.nodes, "bert", inputs, [output], list(g.constants.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    return model, config


def fuse(source, target, config):
    import onnxruntime
    from onnxruntime.transformers import optimizer

    # The basic level first, by a session: optimize_model's own opt_level=1 does the same but wants torch for it.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = target
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    model = optimizer.optimize_model(
        target,
        model_type="bert",
        num_heads=config["num_attention_heads"],
        hidden_size=config["hidden_size"],
        opt_level=0,
    )
    counts = model.get_fused_operator_statistics()
    if counts["Attention"] != config["num_hidden_layers"]:
        raise SystemExit(
            f"onnxruntime fused {counts['Attention']} of {config['num_hidden_layers']} attentions: "
            "the graph no longer has the pattern it looks for"
        )
    model.save_model_to_file(target)
    print("fused:", {k: v for k, v in counts.items() if v})


def quantise(source, target):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # u8 x s8 products are exact with VNNI; without it they saturate in 16 bits and need 7-bit weights.
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        flags = set(next((line for line in file if line.startswith("flags")), "").split())
    reduce_range = not flags & {"avx512_vnni", "avx_vnni"} and "avx2" in flags
    quantize_dynamic(source, target, weight_type=QuantType.QInt8, per_channel=True, reduce_range=reduce_range,
                     extra_options={"EnableSubgraph": False, "DefaultTensorType": TensorProto.FLOAT})


def compare(files):
    """Every file against the plain graph, on padded random ids: a wrong fusion must not be timed."""
    import onnxruntime

    rng = np.random.default_rng(1)
    ids = rng.integers(1000, 20000, (3, 24))
    attention = (np.arange(24) < np.array([[24], [9], [17]])).astype(np.int64)
    feed = {"input_ids": ids, "attention_mask": attention, "token_type_ids": np.zeros_like(ids)}
    reference = None
    for file, least in files:
        hidden = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(
            ["last_hidden_state"], feed
        )[0]
        pooled = (hidden * attention[..., None]).sum(1) / attention.sum(1, keepdims=True)
        pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
        reference = pooled if reference is None else reference
        cosine = float((pooled * reference).sum(1).min())
        print(f"{os.path.basename(file)}: cosine to the plain graph {cosine:.7f}")
        if cosine < least:
            raise SystemExit(f"{file} disagrees with the plain graph: cosine {cosine:.6f} < {least}")


def main():
    source, out = sys.argv[1:3]
    os.makedirs(out, exist_ok=True)
    path = {
        name: os.path.join(out, name + ".onnx")
        for name in ("model", "model_quantized", "model_fused", "model_fused_int8")
    }
    model, config = build(source)
    onnx.save(model, path["model"])
    fuse(path["model"], path["model_fused"], config)
    quantise(path["model"], path["model_quantized"])
    quantise(path["model_fused"], path["model_fused_int8"])
    compare(
        [
            (path["model"], 1 - 1e-6),
            (path["model_fused"], 0.99999),
            (path["model_quantized"], 0.95),
            (path["model_fused_int8"], 0.95),
        ]
    )


if __name__ == "__main__":
    main()
