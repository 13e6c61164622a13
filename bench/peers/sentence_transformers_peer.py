"""sentence-transformers, speaking the protocol of protocol.mjs: commands on stdin, answers on file descriptor 3.

The name differs from the library's on purpose: Python would import this file instead of it.
"""
import json
import os
import random
import time

from channel import peak_rss, serve

LATENCY_LEAST, LATENCY_MOST = 20, 5000


class Child:
    def __init__(self):
        self.cells, self.idle = {}, {"seconds": 0.0, "cpuSeconds": 0.0}
        self.slept = None

    def load(self, command):
        options = command["options"]
        with open(command["texts"], encoding="utf-8") as file:
            self.sets = json.load(file)["sets"]
        start = time.perf_counter()
        import sentence_transformers
        import torch

        torch.set_num_threads(options["threads"])
        torch.set_num_interop_threads(1)
        self.model = sentence_transformers.SentenceTransformer(
            options["model"]["directory"],
            device="cpu",
            local_files_only=True,
            model_kwargs={"dtype": getattr(torch, options["dtype"])},
        )
        loaded = time.perf_counter()
        self.run(self.sets["query"]["texts"][:1])
        return {
            "version": sentence_transformers.__version__,
            "loadMs": (loaded - start) * 1e3,
            "firstVectorMs": (time.perf_counter() - start) * 1e3,
        }

    def run(self, texts):
        return self.model.encode(
            texts, batch_size=len(texts), normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
        )

    def vectors(self, command):
        texts = self.sets[command["set"]]["texts"]
        counts = [len(ids) for ids in self.model.tokenizer(texts)["input_ids"]]
        return {"vectors": self.run(texts).astype("float64").tolist(), "tokenCounts": counts}

    def cell(self, name, batch):
        key = f"{name}/{batch}"
        if key not in self.cells:
            texts, tokens = self.sets[name]["texts"], self.sets[name]["tokens"]
            items = [(texts[i : i + batch], sum(tokens[i : i + batch])) for i in range(0, len(texts), batch)]
            random.Random(1).shuffle(items)
            self.cells[key] = {"items": items, "next": 0}
        return self.cells[key]

    def warm(self, command):
        self.run(self.cell(command["set"], command["batch"])["items"][0][0])
        return {}

    def round(self, command):
        cell = self.cell(command["set"], command["batch"])
        tokens = texts = 0
        start = time.perf_counter()
        while True:
            batch, count = cell["items"][cell["next"]]
            cell["next"] = (cell["next"] + 1) % len(cell["items"])
            self.run(batch)
            tokens += count
            texts += len(batch)
            elapsed = time.perf_counter() - start
            if elapsed >= command["seconds"]:
                return {"tokens": tokens, "texts": texts, "seconds": elapsed, "eventLoopDelayP99Ms": None}

    def latency(self, command):
        items, samples = self.cell("query", 1)["items"], []
        start = time.perf_counter()
        while len(samples) < LATENCY_MOST:
            before = time.perf_counter()
            self.run(items[len(samples) % len(items)][0])
            after = time.perf_counter()
            samples.append((after - before) * 1e3)
            if after - start > command["seconds"] and len(samples) >= LATENCY_LEAST:
                break
        return {"samples": samples}

    def stats(self, command):
        with open("/proc/self/statm", encoding="ascii") as file:
            rss = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return {"peakRssBytes": peak_rss(), "rssBytes": rss, "idle": self.idle}

    def sleep(self):
        self.slept = (time.perf_counter(), time.process_time())

    def wake(self):
        if self.slept:
            self.idle["seconds"] += time.perf_counter() - self.slept[0]
            self.idle["cpuSeconds"] += time.process_time() - self.slept[1]


if __name__ == "__main__":
    serve(Child(), ("load", "vectors", "warm", "round", "latency", "stats"))
