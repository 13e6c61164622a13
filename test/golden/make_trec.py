"""Writes trec/: runs, judgments, and what trec_eval 9 and 10 say of them.

python test/golden/make_trec.py TREC_EVAL_9 TREC_EVAL_10
Both are programs built from https://github.com/usnistgov/trec_eval: the last commit whose scores are float
(67bb5c7) and version 10.0 (f425365), with the number format of meas_print_*.c changed from %6.4f to %.17g.
"""
import json
import math
import random
import subprocess
import sys

from common import HERE, SEED, fresh_directory

OUT = HERE / "trec"
MEASURES = ["num_q", "num_ret", "num_rel", "num_rel_ret", "num_nonrel_judged_ret", "map", "gm_map", "Rprec", "bpref",
            "gm_bpref", "recip_rank", "iprec_at_recall", "11pt_avg", "infAP", "ndcg", "set_P", "set_recall", "set_map",
            "set_F", "P.1,5,10,15,20,30,100", "recall.1,5,10,15,20,30,100", "success.1,5,10", "ndcg_cut.1,5,10,20,100",
            "map_cut.1,5,10,20,100"]
CASES = [("plain", []), ("complete", ["-c"]), ("judged-only", ["-J"]), ("level-2", ["-l", "2"]),
         ("level-2-complete", ["-l", "2", "-c"]), ("first-7", ["-M", "7"]), ("judged-only-first-7", ["-J", "-M", "7"])]


def files() -> None:
    """Many equal scores, scores equal as float32 alone, grades from -1 to 3, queries of one file only."""
    draw = random.Random(SEED)
    run, qrels = [], []
    for query in [f"q{i}" for i in range(14)] + ["é", "Ａ", "\U0001F600"]:
        documents = [f"{draw.choice(['d', 'D', 'é', chr(0xFF21), chr(0x1F600)])}{i}" for i in range(40)]
        grades = [draw.choice([-1, 0, 0, 0, 1, 1, 2, 3]) for _ in documents]
        if query in ("q3", "q4"):  # nothing relevant, nothing relevant at level 2
            grades = [0 if query == "q3" else min(grade, 1) for grade in grades]
        if query != "q12":
            qrels += [(query, document, grade) for document, grade in zip(documents, grades) if draw.random() < 0.7]
        if query == "q13":
            continue
        found = draw.sample(documents, draw.choice([1, 5, 12, 40])) + [f"other{i}" for i in range(draw.randrange(9))]
        draw.shuffle(found)
        for document in found:
            score = draw.choice([draw.randrange(5) / 4, draw.randrange(5) / 4 + draw.randrange(1, 9) * 1e-9])
            run.append((query, document, score))
    draw.shuffle(run)
    draw.shuffle(qrels)
    lines = [f"{q} Q0 {d} {i} {score!r} golden" for i, (q, d, score) in enumerate(run)]
    (OUT / "run.trec").write_text("\n".join(["# a comment", *lines]) + "\n", encoding="utf-8")
    lines = [f"{q} 0 {d} {grade}" for q, d, grade in qrels]
    (OUT / "qrels.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def measured(program: str, version: int, flags: list[str]) -> dict:
    # Version 9 does not know comments; version 10 stops at a judged query without results unless -c is given.
    lines = (OUT / "run.trec").read_text(encoding="utf-8").splitlines()[1:]
    retrieved = {line.split()[0] for line in lines}
    judged = (OUT / "qrels.txt").read_text(encoding="utf-8").splitlines()
    if version == 10 and "-c" not in flags:
        judged = [line for line in judged if line.split()[0] in retrieved]
    names = ["run", "qrels"]
    for name, rows in zip(names, [lines, judged]):
        (OUT / name).write_text("\n".join(rows) + "\n", encoding="utf-8")
    command = [program, "-q", *flags, *(word for measure in MEASURES for word in ("-m", measure)),
               OUT / "qrels", OUT / "run"]
    lines = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout.splitlines()
    for name in names:
        (OUT / name).unlink()
    found: dict = {}
    for name, query, value in (line.split("\t") for line in lines):
        number = float(value)
        found.setdefault(query, {})[name.strip()] = None if math.isnan(number) else number
    # Of each query, what one case shows; the other cases have the means.
    all_queries = found.pop("all")
    return {"metrics": all_queries, "perQuery": found if version == 9 and flags in ([], ["-J"], ["-l", "2"]) else {}}


def main() -> None:
    fresh_directory(OUT)
    files()
    cases = [{"name": name, "version": version, **measured(program, version, flags)}
             for version, program in zip([9, 10], sys.argv[1:]) for name, flags in CASES]
    (OUT / "golden.json").write_text(json.dumps({"cases": cases}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
