"""Writes optimizer/: what torch.optim.AdamW makes of given gradients, in float32, over 50 steps.

python test/golden/make_optimizer.py. The layout of the results is described in README.md beside this file.
"""
from common import HERE, fresh_directory, generator, write_json, write_tensors

import torch

STEPS, ELEMENTS = 50, 37
# A rate that warms up and decays to nothing, as a schedule gives it.
SCHEDULE = [min((step + 1) / 5, (STEPS - step - 1) / (STEPS - 5)) for step in range(STEPS)]
CASES = [
    {"name": "defaults", "rates": [1e-3] * STEPS, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "decay": 0.01},
    {
        "name": "schedule",
        "rates": [2e-2 * share for share in SCHEDULE],
        "beta1": 0.8,
        "beta2": 0.95,
        "epsilon": 1e-6,
        "decay": 0.1,
    },
    {"name": "no-decay", "rates": [2e-5] * STEPS, "beta1": 0.9, "beta2": 0.98, "epsilon": 1e-4, "decay": 0.0},
]


def gradients_of(random: torch.Generator) -> torch.Tensor:
    """Of all sizes, from far below epsilon to large ones; some elements have none, or one in ten steps."""
    gradients = torch.randn((STEPS, ELEMENTS), generator=random)
    sizes = 10.0 ** (torch.arange(ELEMENTS) % 12 - 9)
    gradients *= sizes
    gradients[:, 5] = 0
    gradients[torch.arange(STEPS) % 10 != 3, 6] = 0
    return gradients


def main() -> None:
    tensors = {}
    for case in CASES:
        random = generator("optimizer/" + case["name"])
        initial = torch.randn(ELEMENTS, generator=random)
        gradients = gradients_of(random)
        parameter = torch.nn.Parameter(initial.clone())
        optimizer = torch.optim.AdamW(
            [parameter],
            lr=case["rates"][0],
            betas=(case["beta1"], case["beta2"]),
            eps=case["epsilon"],
            weight_decay=case["decay"],
            foreach=False,
            fused=False,
        )
        values = []
        for step in range(STEPS):
            optimizer.param_groups[0]["lr"] = case["rates"][step]
            parameter.grad = gradients[step].clone()
            optimizer.step()
            values.append(parameter.detach().clone())
        state = optimizer.state[parameter]
        name = case["name"]
        tensors[f"{name}.initial"] = initial
        tensors[f"{name}.gradients"] = gradients
        tensors[f"{name}.values"] = torch.stack(values)
        tensors[f"{name}.first"] = state["exp_avg"]
        tensors[f"{name}.second"] = state["exp_avg_sq"]
    directory = fresh_directory(HERE / "optimizer")
    write_json(directory / "golden.json", {"versions": {"torch": torch.__version__}, "cases": CASES}, indent=None)
    write_tensors(directory / "golden.safetensors", tensors)


if __name__ == "__main__":
    main()
