"""The tables of report.py."""


def table(head, rows):
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells)


def micro(seconds):
    return "-" if seconds is None else f"{seconds * 1e6:,.1f}" if seconds < 1e-4 else f"{seconds * 1e6:,.0f}"


def percent(part, whole):
    return "-" if not part or not whole else f"{100 * part / whole:.0f} %"


def ratio(theirs, ours):
    """How many times as fast as the peer."""
    return "-" if not theirs or not ours else f"{theirs / ours:.2f}"


class Result:
    """The records of all steps, by kernel."""

    def __init__(self, result):
        self.result, self.steps = result, result["steps"]
        self.all = [one for step in self.steps for one in step.get("records", [])]
        self.copy, self.products = None, {}
        for one in self.of("limit"):
            if one["what"] == "copy":
                self.copy = one.get("bytesPerSecond")
            else:
                self.products[one["dtype"]] = one.get("operationsPerSecond")

    def of(self, kernel):
        """Those that were measured."""
        return [one for one in self.all if one.get("kernel") == kernel and "leftOut" not in one and "error" not in one]

    def peak(self, dtype):
        if dtype == "int8":
            product = self.products.get("bfloat16")
            return product and 2 * product
        return self.products.get(dtype)

    def best(self, kernel, dtype, ways=None, **fields):
        """{way: record} of a peer in the same cell; the peer of int8 is bfloat16."""
        found = {}
        for one in self.of(kernel):
            same = one["dtype"] == ("bfloat16" if dtype == "int8" else dtype)
            if same and all(one.get(name) == value for name, value in fields.items()):
                if ways is None or one.get("way") in ways:
                    found[one.get("way", "torch")] = one
        return found


def steps_table(result):
    rows = []
    for step in result.steps:
        failed = [t for t in step.get("tests", []) if t["result"] == "failed"]
        passed = sum(t["result"] == "ok" for t in step.get("tests", []))
        tests = f"{passed} passed, {len(failed)} failed" if step.get("tests") else ""
        code = step.get("code", "left out")
        how = {0: "well", 124: "124: the time was over", 137: "137: killed"}.get(code, code)
        rows.append([step["step"], how, f"{step.get('seconds', 0)} s", len(step.get("records", [])), tests])
    text = table(["step", "ended", "time", "records", "tests"], rows)
    names = [t["test"] for step in result.steps for t in step.get("tests", []) if t["result"] == "failed"]
    # A test under way when a program ends by a signal has no result; the log says more.
    logs = [f"{step['step']}: {line}" for step in result.steps for line in step.get("log", [])[-4:]]
    return "\n".join([text, *(f"failed: {name}" for name in sorted(set(names))), *logs])


def facts(result):
    lines = []
    for step in result.steps:
        if step["step"] in ("facts", "after"):
            about = [f"{one['name']}, driver {one['driver']}" + (f": {one['reason']}" if one["reason"] else "")
                     for one in step.get("records", []) if "driver" in one]
            lines += [step["step"] + ":", *about, *(line for line in step.get("text", []) if "Flags" not in line)]
    return "\n".join(lines)


def limits_table(result):
    rows = [["copies, bytes read and written", f"{result.copy / 1e9:,.0f} GB/s" if result.copy else "-"]]
    for dtype, rate in result.products.items():
        rows.append([f"products of {dtype}", f"{rate / 1e12:,.1f} TFLOP/s" if rate else "-"])
    return table(["limit", "measured"], rows)


def bits_table(result):
    own = [one for one in result.of("bits") if "ok" in one]
    across = [one for one in result.of("bits") if "against" in one]
    rows = []
    for family, dtype in dict.fromkeys((one["family"], one["dtype"]) for one in own):
        these = [one for one in own if (one["family"], one["dtype"]) == (family, dtype)]
        differ = [sum(one[name] for one in these) for name in
                  ("differTiles", "differTwice", "differFewerRows", "differAlone")]
        ok = all(one["ok"] for one in these)
        others = [one for one in across if (one["family"], one["dtype"]) == (family, dtype)]
        against = ", ".join(
            f"{one['in']}x{one['out']}: {one['differ']} of {one['elements']} ({one['greatest']:.1e})" for one in others)
        rows.append([family, dtype, len(these), *differ, "yes" if ok else "NO", against])
    return table(["family", "dtype", "shapes", "tiles", "twice", "fewer rows", "alone", "same bits",
                  "differs from the first family"], rows)


def golden_table(result):
    rows = [[one["model"], one["dtype"], one["cases"], percent(one["toGolden"], one["allowed"]),
             percent(one["toReference"], 2 * one["allowed"]), "yes" if one["sameBits"] else "NO",
             "yes" if one["ok"] else "NO"] for one in result.of("golden")]
    head = ["model", "dtype", "cases", "golden, of allowed", "reference, of allowed", "same bits", "agrees"]
    return table(head, rows)


def linear_table(result):
    rows = []
    for one in result.of("linear"):
        cell = {name: one[name] for name in ("model", "layer", "rows")}
        peer = result.best("torch-linear", one["dtype"], **cell).get("torch")
        rate = one["operationsPerSecond"]
        rows.append([one["model"], one["layer"], f"{one['in']}x{one['out']}", one["dtype"], one["rows"],
                     micro(one["seconds"]), f"{rate / 1e12:,.1f}", percent(rate, result.peak(one["dtype"])),
                     percent(one["weightBytesPerSecond"], result.copy), micro(peer and peer["seconds"]),
                     ratio(peer and peer["seconds"], one["seconds"])])
    return table(["model", "layer", "in x out", "dtype", "rows", "us", "TFLOP/s", "of product", "weights, of copy",
                  "torch us", "times torch"], rows)


def attention_table(result):
    rows = []
    for one in result.of("attention"):
        cell = {name: one[name] for name in ("model", "texts")}
        peers = result.best("torch-attention", one["dtype"], **cell)
        rate = one["operationsPerSecond"]
        rows.append([one["model"], one["texts"], one["dtype"], micro(one["seconds"]), f"{rate / 1e12:,.1f}",
                     percent(rate, result.peak(one["dtype"])),
                     ", ".join(f"{way} {ratio(peer['seconds'], one['seconds'])}" for way, peer in peers.items())])
    return table(["model", "texts", "dtype", "us", "TFLOP/s", "of product", "times"], rows)


def encode_table(result, on_processor):
    rows = []
    for one in result.of("encode"):
        if ("threads" in one) != on_processor:
            continue
        cell = {name: one[name] for name in ("model", "texts")}
        peers = {} if on_processor else result.best("torch-encode", one["dtype"], **cell)
        rows.append([one["model"], one["dtype"], one["texts"], one.get("threads", ""),
                     f"{one['tokensPerSecond']:,.0f}", f"{one['operationsPerSecond'] / 1e12:,.2f}",
                     "" if on_processor else percent(one["operationsPerSecond"], result.peak(one["dtype"])),
                     ", ".join(f"{way} {ratio(one['tokensPerSecond'], peer['tokensPerSecond'])}"
                               for way, peer in peers.items())])
    return table(["model", "dtype", "texts", "threads", "tokens/s", "TFLOP/s", "of product", "times"], rows)


def query_table(result):
    rows = []
    for one in result.of("query"):
        peers = result.best("torch-query", one["dtype"], model=one["model"]) if "threads" not in one else {}
        how = f"{one['threads']} threads" if "threads" in one else "graph" if one["graph"] else "no graph"
        rows.append([one["model"], one["dtype"], one["backend"], how, micro(one["p50"]), micro(one["p99"]),
                     ", ".join(f"{way} {micro(peer['p50'])}" for way, peer in peers.items())])
    return table(["model", "dtype", "backend", "how", "p50 us", "p99 us", "torch p50 us"], rows)


def sanitizer_table(result):
    rows = []
    for step in result.steps:
        if step["step"].startswith("sanitize"):
            said = [line.strip("= ") for line in step.get("text", []) if "SUMMARY" in line or "not supported" in line]
            said += [one["leftOut"] for one in step.get("records", []) if "leftOut" in one]
            rows.append([step["step"].removeprefix("sanitize-"), step.get("code", "-"), "; ".join(said)])
    return table(["tool", "code", "says"], rows)


def left_out(result):
    lines = {}
    for one in result.all:
        for key in ("leftOut", "error"):
            if key in one:
                names = ("kernel", "way", "model", "layer", "texts", "dtype", "rows")
                where = " ".join(str(one[name]) for name in names if one.get(name))
                lines.setdefault(f"{key}: {one[key]}", []).append(where)
    return "\n".join(f"{why} ({len(where)}: {'; '.join(where[:3])}{'; ...' if len(where) > 3 else ''})"
                     for why, where in lines.items())


def tables(merged):
    result = Result(merged)
    parts = [
        ("Steps", steps_table(result)),
        ("Machine, before and after", facts(result)),
        ("Limits of the card", limits_table(result)),
        ("Bits of linear: numbers that differ where none may", bits_table(result)),
        ("Tiny models: the greatest difference, of what is allowed", golden_table(result)),
        ("compute-sanitizer", sanitizer_table(result)),
        ("Linear layers; int8 is compared with twice the bfloat16 product, and with PyTorch in bfloat16",
         linear_table(result)),
        ("Attention", attention_table(result)),
        ("Whole models, from ids to vectors", encode_table(result, False)),
        ("A query of ten tokens", query_table(result)),
        ("Whole models on the processor", encode_table(result, True)),
        ("Left out", left_out(result)),
    ]
    head = f"{merged['card']}, commit {merged['commit']}, built for {merged['archs']} by nvcc {merged['nvcc']}"
    # A table of one line is only its head.
    shown = [f"{title}\n\n{text}" for title, text in parts if "\n" in text or title == "Left out" and text]
    return "\n\n".join([head, *shown])
