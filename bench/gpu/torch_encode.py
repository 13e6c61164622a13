"""Whole encoders by PyTorch, from token ids in host memory to vectors in host memory, as encode.cc: padded batches of
texts sorted by length, packed texts where a variable-length kernel can be imported, torch.compile, the transformers
library's model and sentence-transformers where they can be imported, and single queries."""
import statistics
import time

import torch
from torch_common import arguments, over, record, run_case, synchronize
from torch_models import Encoder, mean_of
from torch_sentence import SentenceEncoder
from torch_varlen import varlen_kernels

BATCH_TOKENS = 32768
QUERY_TOKENS = 10


def texts_of(shape, lengths):
    generator = torch.Generator().manual_seed(3)
    return [torch.randint(1, shape["vocab"], (n,), generator=generator) for n in lengths]


def batches(texts):
    """Sorted by length, the longest first; at most BATCH_TOKENS with padding."""
    batch = []
    for text in sorted(texts, key=len, reverse=True):
        if batch and (len(batch) + 1) * len(batch[0]) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(text)
    yield batch


def encode_padded(forward, texts, device):
    results = []
    for batch in batches(texts):
        ids = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True)
        mask = None
        if len(batch[-1]) < len(batch[0]):
            lengths = torch.tensor([len(text) for text in batch])
            mask = (torch.arange(ids.shape[1]) < lengths[:, None]).to(device, non_blocking=True)
        results.append(forward(ids.to(device, non_blocking=True), mask))
    return torch.cat([result.cpu() for result in results])


def encode_packed(model, kernel, texts, device):
    results, begin = [], 0
    while begin < len(texts):
        end, tokens = begin, 0
        while end < len(texts) and (end == begin or tokens + len(texts[end]) <= BATCH_TOKENS):
            tokens += len(texts[end])
            end += 1
        batch = texts[begin:end]
        lengths = torch.tensor([0] + [len(text) for text in batch])
        positions = torch.cat([torch.arange(len(text)) for text in batch])
        offsets = lengths.cumsum(0).to(torch.int32)
        there = [part.to(device, non_blocking=True) for part in (torch.cat(batch), positions, offsets)]
        results.append(model.packed(*there, int(lengths.max()), kernel))
        begin = end
    return torch.cat([result.cpu() for result in results])


def throughput(call, tokens, tiny):
    """call() ends with its results in host memory."""
    call()
    start, times = time.perf_counter(), []
    call()
    while len(times) < (2 if tiny else 5) or (not tiny and time.perf_counter() - start < 0.5):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
        if len(times) >= 3 and time.perf_counter() - start > 5:
            break
    seconds = statistics.median(times)
    return {"tokens": tokens, "seconds": seconds, "least": min(times), "most": max(times), "samples": len(times),
            "tokensPerSecond": tokens / seconds}


def latency(call, tiny):
    for _ in range(3 if tiny else 20):
        call()
    times = []
    start = time.perf_counter()
    while len(times) < (3 if tiny else 300) and (len(times) < 20 or time.perf_counter() - start < 3):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    times.sort()
    return {"tokens": QUERY_TOKENS, "p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100]}


def graphed_query(model, ids, device):
    """The model's pass over one query as a CUDA graph, with its copies to and from the device."""
    there = ids.to(device)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            model.padded(there, None)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = model.padded(there, None)

    def call():
        there.copy_(ids)
        graph.replay()
        return result.cpu()

    return call


def transformers_forward(shape, device, dtype):
    import transformers

    more = {} if shape["decoder"] else {"type_vocab_size": 2}
    if shape["decoder"]:
        more = {"num_key_value_heads": shape["kvHeads"], "use_cache": False}
    kind = transformers.Qwen2Config if shape["decoder"] else transformers.BertConfig
    config = kind(hidden_size=shape["hidden"], intermediate_size=shape["intermediate"], vocab_size=shape["vocab"],
                  num_hidden_layers=shape["layers"], num_attention_heads=shape["heads"],
                  max_position_embeddings=shape["positions"], **more)
    with torch.device(device):
        model = transformers.AutoModel.from_config(config, attn_implementation="sdpa", dtype=dtype).eval()
    record(kernel="torch", way="transformers", version=transformers.__version__)

    def forward(ids, mask):
        if mask is None:
            mask = torch.ones_like(ids, dtype=torch.bool)
        x = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        return torch.nn.functional.normalize(mean_of(x, mask), dim=-1)

    return forward, model


def add_libraries(ways, options, shape, dtype, fields):
    """What can be imported of transformers and sentence-transformers."""
    device = options.device
    try:
        forward, model = transformers_forward(shape, device, dtype)
    except Exception as error:  # not installed, or of another version
        record(kernel="torch-encode", way="transformers", **fields, leftOut=f"{type(error).__name__}: {error}"[:200])
        return
    ways["transformers"] = lambda texts: encode_padded(forward, texts, device)
    if shape["layers"] > 12:
        return
    try:
        sentences = SentenceEncoder(model, shape, device, dtype)
    except Exception as error:
        record(kernel="torch-encode", way="sentence-transformers", **fields,
               leftOut=f"{type(error).__name__}: {error}"[:200])
        return
    record(kernel="torch", way="sentence-transformers", version=sentences.version)
    # The library's own batch, and one as large as the others have here.
    ways["sentence-transformers"] = lambda texts: sentences.encode(texts, 32)
    ways["sentence-transformers-large"] = lambda texts: sentences.encode(
        texts, max(32, BATCH_TOKENS // max(map(len, texts))))


def measure_model(options, shape, dtype, kernels):
    fields = {"model": shape["name"], "dtype": str(dtype).removeprefix("torch.")}
    device = options.device
    model = Encoder(shape, device, dtype)
    query = texts_of(shape, [QUERY_TOKENS])[0][None]
    run_case(lambda: latency(lambda: model.padded(query.to(device), None).cpu(), options.tiny),
             kernel="torch-query", way="eager", **fields)
    if device == "cuda":
        run_case(lambda: latency(graphed_query(model, query, device), options.tiny),
                 kernel="torch-query", way="graph", **fields)
    ways = {"padded": lambda texts: encode_padded(model.padded, texts, device)}
    for name, kernel in kernels.items():
        ways[name] = lambda texts, kernel=kernel: encode_packed(model, kernel, texts, device)
    if shape["hidden"] <= 1024 and dtype == torch.bfloat16:
        add_libraries(ways, options, shape, dtype, fields)
    for texts in options.shapes["encode"]:
        lists = texts_of(shape, texts["lengths"])
        for way, encode in ways.items():
            if over(options):
                record(kernel="torch-encode", way=way, texts=texts["name"], **fields, leftOut="the time was over")
                continue
            run_case(lambda: throughput(lambda: encode(lists), sum(texts["lengths"]), options.tiny),
                     kernel="torch-encode", way=way, texts=texts["name"], **fields)
    synchronize(device)


def measure_compiled(options, shape):
    """torch.compile on texts of one length. Takes longer to compile than all else takes together, so it comes last."""
    compiled = torch.compile(Encoder(shape, options.device, torch.bfloat16).padded, dynamic=False)
    texts = options.shapes["encode"][0]
    lists = texts_of(shape, texts["lengths"])
    run_case(lambda: throughput(lambda: encode_padded(compiled, lists, options.device), sum(texts["lengths"]),
                                options.tiny),
             kernel="torch-encode", way="compiled", texts=texts["name"], model=shape["name"], dtype="bfloat16")


@torch.inference_mode()
def main():
    options = arguments(__doc__)
    kernels = varlen_kernels() if options.device == "cuda" else {}
    cells = [(shape, torch.bfloat16) for shape in options.models]
    cells += [(shape, torch.float16) for shape in options.models if shape["hidden"] <= 1024]
    for shape, dtype in cells:
        fields = {"model": shape["name"], "dtype": str(dtype).removeprefix("torch.")}
        if over(options):
            record(kernel="torch-encode", **fields, leftOut="the time was over")
            continue
        try:
            measure_model(options, shape, dtype, kernels)
        except Exception as error:
            record(kernel="torch-encode", **fields, leftOut=f"{type(error).__name__}: {error}"[:200])
        if options.device == "cuda":
            torch.cuda.empty_cache()
    for shape in options.models:
        if options.device == "cuda" and shape["layers"] <= 12 and not over(options):
            measure_compiled(options, shape)


if __name__ == "__main__":
    main()
