#!/usr/bin/env python3
"""Merges the results of run.sh into one JSON file and prints them as tables. Python's standard library only.

    report.py OUT [--results bench/results]

Writes OUT/results.json and, with --results, DIR/<card>/<commit>.json."""
import argparse
import json
import pathlib
import re
import sys

import report_tables

TEST = re.compile(r"^\[\s+(OK|FAILED|SKIPPED)\s+\] (\S+?),?(?: where .*)? \((\d+) ms\)$")


def read_lines(path):
    """The records of a step; the results of googletest; and other lines as they are."""
    records, tests, text = [], [], []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        test = TEST.match(line)
        if test:
            tests.append({"test": test[2], "result": test[1].lower(), "milliseconds": int(test[3])})
            continue
        if line.startswith("{"):
            try:
                records.append(json.loads(line))
                continue
            except ValueError:  # the step was ended in the middle of a line
                pass
        text.append(line)
    return {"records": records, "tests": tests, "text": text}


def read(folder):
    steps = []
    path = folder / "steps.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        step = json.loads(line)
        output, log = folder / f"{step['step']}.out", folder / f"{step['step']}.log"
        if output.exists():
            step.update(read_lines(output))
        # What stderr says matters where something is wrong.
        if step.get("code") and log.exists():
            step["log"] = log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        steps.append(step)
    kit = json.loads((folder / "kit.json").read_text(encoding="utf-8"))
    return {"schema": 1, **kit, "card": card_of(steps), "steps": steps}


def card_of(steps):
    for step in steps:
        for one in step.get("records", []):
            if one.get("name") and "computeCapability" in one:
                return one["name"]
    return "unknown card"


def file_name(card):
    return re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-")


def main():
    parser = argparse.ArgumentParser(description="Merges and prints the results of bench/gpu/run.sh.")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--results", type=pathlib.Path, help="keep the result in this folder, by card and commit")
    options = parser.parse_args()
    if not (options.out / "kit.json").exists():
        sys.exit(f"report: {options.out} has no results of run.sh")
    result = read(options.out)
    text = json.dumps(result, indent=1) + "\n"
    (options.out / "results.json").write_text(text, encoding="utf-8")
    if options.results:
        kept = options.results / file_name(result["card"]) / f"{result['commit']}.json"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(text, encoding="utf-8")
        print(f"report: {kept}")
    tables = report_tables.tables(result)
    (options.out / "tables.txt").write_text(tables + "\n", encoding="utf-8")
    print(tables)


if __name__ == "__main__":
    main()
