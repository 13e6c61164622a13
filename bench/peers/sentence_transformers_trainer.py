"""Steps of training by sentence-transformers, speaking the protocol of channel.py: what its trainer does in a step, so
that its dropout can be switched and its parts timed. Commands: load, check, warm, steps, stats."""
import json
import os
import time

from channel import peak_rss, serve


class Phase:
    """Seconds by the clock, and of all threads of the process."""

    def __enter__(self):
        self.start = (time.perf_counter(), time.process_time())
        return self

    def __exit__(self, *_):
        self.took = {
            "seconds": time.perf_counter() - self.start[0],
            "cpuSeconds": time.process_time() - self.start[1],
        }


def autocast_forward(torch, model):
    """As accelerate prepares a model for bf16: so gradient caching, too, embeds under autocast both times."""
    forward = torch.autocast("cpu", dtype=torch.bfloat16)(model.forward)

    def forward_to_float32(*args, **kwargs):
        features = forward(*args, **kwargs)
        features["sentence_embedding"] = features["sentence_embedding"].float()
        return features

    model.forward = forward_to_float32


class Child:
    def load(self, command):
        options = command["options"]
        os.environ["OMP_NUM_THREADS"] = str(options["threads"])
        import sentence_transformers
        import torch
        from sentence_transformers.sentence_transformer import losses

        torch.set_num_threads(options["threads"])
        torch.set_num_interop_threads(1)
        torch.manual_seed(options["seed"])
        self.torch = torch
        self.sets = {}
        for name, path in (("check", options["check"]), ("case", command["texts"])):
            with open(path, encoding="utf-8") as file:
                self.sets[name] = json.load(file)
        self.model = sentence_transformers.SentenceTransformer(
            options["model"]["directory"],
            device="cpu",
            local_files_only=True,
            model_kwargs={"dtype": torch.float32},
        )
        if options["lora"]:
            from peft import LoraConfig

            lora = options["lora"]
            self.model.add_adapter(
                LoraConfig(
                    r=lora["rank"], lora_alpha=lora["alpha"], lora_dropout=0.0, target_modules=lora["targets"]
                )
            )
        if options["dtype"] == "bfloat16":
            autocast_forward(torch, self.model)
        self.rates = [(m, m.p) for m in self.model.modules() if isinstance(m, torch.nn.Dropout)]
        if options["gradientCache"]:
            self.loss = losses.CachedMultipleNegativesRankingLoss(
                self.model, scale=options["scale"], mini_batch_size=options["miniBatch"]
            )
        else:
            self.loss = losses.MultipleNegativesRankingLoss(self.model, scale=options["scale"])
        self.model.train()
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=options["learningRate"], eps=1e-8, weight_decay=0.0, fused=True
        )
        self.max_norm = options["maxGradNorm"]
        return {"version": f"{sentence_transformers.__version__}, torch {torch.__version__}"}

    def step(self, batch):
        with Phase() as whole:
            anchors, positives = zip(*batch["pairs"])
            features = [self.model.preprocess(list(column)) for column in (anchors, positives)]
            tokens = sum(int(column["attention_mask"].sum()) for column in features)
            with Phase() as gradients:
                loss = self.loss(features, None)
                loss.backward()
            with Phase() as update:
                norm = self.torch.nn.utils.clip_grad_norm_(self.parameters, self.max_norm)
                self.optimizer.step()
                self.optimizer.zero_grad()
            loss, norm = float(loss.detach()), float(norm)
        return {
            "seconds": whole.took["seconds"],
            "tokens": tokens,
            "loss": loss,
            "gradientNorm": norm,
            "gradients": gradients.took,
            "update": update.took,
        }

    def run(self, name, first, count, dropout):
        for module, rate in self.rates:
            module.p = rate if dropout else 0.0
        batches = self.sets[name]
        return [self.step(batches[(first + i) % len(batches)]) for i in range(count)]

    def check(self, command):
        """Losses and gradient norms of the first steps, without dropout."""
        return {"steps": self.run("check", 0, len(self.sets["check"]), False)}

    def warm(self, command):
        """Batches of the check with dropout, then `count` of the case, whose steps may take long."""
        self.run("check", 0, len(self.sets["check"]), True)
        self.run("case", 0, command["count"], True)
        return {}

    def steps(self, command):
        return {"steps": self.run("case", command["first"], command["count"], command["dropout"])}

    def stats(self, command):
        return {"peakRssBytes": peak_rss()}

    def sleep(self):
        pass

    def wake(self):
        pass


if __name__ == "__main__":
    serve(Child(), ("load", "check", "warm", "steps", "stats"))
