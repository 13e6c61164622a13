"""Golden files of static vectors: small files as fastText and gensim write them, and what gensim answers on them.

Needs Debian's packages fasttext and python3-gensim:
    /usr/bin/python3 test/golden/make_static.py
"""
import json
import os
import random
import subprocess
import tempfile

import numpy as np
from gensim.models import KeyedVectors
from gensim.models.fasttext import ft_ngram_hashes, load_facebook_model
from gensim.models.phrases import Phrases

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "static")
SEED = 20260101
WORDS = (
    "king queen man woman prince princess royal palace bread butter cheese milk apple pear plum river lake sea "
    "mountain valley año niño café élève français 手机 电脑 苹果 北京 中国 дом река Paris London quick slow"
).split()


def rounded(values):
    return [float(np.format_float_positional(np.float32(v), unique=True)) for v in values]


def corpus(path):
    rng = random.Random(SEED)
    groups = [WORDS[i : i + 6] for i in range(0, len(WORDS), 6)]
    lines = []
    for _ in range(400):
        group = rng.choice(groups)
        lines.append(" ".join(rng.choice(group if rng.random() < 0.8 else WORDS) for _ in range(rng.randint(3, 12))))
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return [line.split() for line in lines]


def near(found):
    return [[word, float(score)] for word, score in found]


def documents(vectors):
    """Sentence vectors of fastText, and SIF in float64 as Arora et al. give it."""
    texts = ["king queen", "手机 电脑 kings", "river lake sea mountain", "quick slow plum pear apple"]
    output = subprocess.run(
        ["fasttext", "print-sentence-vectors", os.path.join(HERE, "skipgram.bin")],
        input="\n".join(texts) + "\n", check=True, capture_output=True, text=True,
    ).stdout
    counts = {word: vectors.get_vecattr(word, "count") for word in vectors.index_to_key}
    total, a = sum(counts.values()), 1e-3
    rows = np.array([
        np.mean([a / (a + counts.get(word, 0) / total) * vectors[word].astype(np.float64) for word in text.split()], 0)
        for text in texts
    ])
    component = np.linalg.svd(rows, full_matrices=False)[2][0]
    component *= np.sign(component[np.argmax(np.abs(component))])
    return {
        "texts": texts,
        "unit_mean": [[float(value) for value in line.split()[-8:]] for line in output.strip().split("\n")],
        "sif": (rows - rows @ np.outer(component, component)).tolist(),
        "component": component.tolist(),
    }


def main():
    os.makedirs(HERE, exist_ok=True)
    golden = {"hashes": {}, "files": {}}
    with tempfile.TemporaryDirectory() as folder:
        text = os.path.join(folder, "corpus.txt")
        sentences = corpus(text)
        for name, options in {
            "skipgram": ["-minn", "2", "-maxn", "4", "-bucket", "50"],
            "cbow": ["-minn", "0", "-maxn", "0"],
        }.items():
            output = os.path.join(HERE, name)
            subprocess.run(
                ["fasttext", name, "-input", text, "-output", output, "-dim", "8", "-epoch", "5", "-minCount", "1",
                 "-thread", "1", *options],
                check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
        with open(os.path.join(HERE, "phrases.txt"), "w", encoding="utf-8") as file:
            file.write("\n".join(" ".join(sentence) for sentence in sentences) + "\n")
    model = load_facebook_model(os.path.join(HERE, "skipgram.bin"))
    vectors = model.wv
    golden["files"]["skipgram.bin"] = {
        "words": vectors.index_to_key,
        "counts": [int(vectors.get_vecattr(word, "count")) for word in vectors.index_to_key],
        "vectors": {word: rounded(vectors[word]) for word in ["king", "niño", "手机"]},
        "unknown": {word: rounded(vectors[word]) for word in ["kings", "niños", "手机壳", "x"]},
        "nearest": {word: near(vectors.most_similar(word, topn=5)) for word in ["king", "手机", "kings"]},
    }
    for word in ["where", "手机", "niño", "é"]:
        golden["hashes"][word] = [int(value) for value in ft_ngram_hashes(word, 3, 6, 2000000)]

    plain = KeyedVectors(8)
    rng = np.random.default_rng(SEED)
    rows = rng.standard_normal((len(WORDS), 8)).astype(np.float32)
    plain.add_vectors(WORDS, rows)
    plain.save_word2vec_format(os.path.join(HERE, "plain.txt"))
    plain.save_word2vec_format(os.path.join(HERE, "plain.bin"), binary=True)
    plain.save_word2vec_format(os.path.join(HERE, "plain.glove"), write_header=False)
    read = KeyedVectors.load_word2vec_format(os.path.join(HERE, "plain.bin"), binary=True)
    sections = [
        {"section": "first", "questions": [["king", "queen", "man", "woman"], ["Apple", "pear", "river", "lake"],
                                           ["king", "unknown", "man", "woman"]]},
        {"section": "second", "questions": [["北京", "中国", "paris", "London"], ["bread", "butter", "sea", "milk"]]},
    ]
    # Answers that are right: what gensim finds for some questions.
    for a, b, c in [("king", "queen", "man"), ("bread", "milk", "sea"), ("quick", "slow", "plum")]:
        answer = read.most_similar(positive=[b, c], negative=[a], topn=1)[0][0]
        sections[1]["questions"].append([a.upper(), b, c, answer])
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        for section in sections:
            file.write(": " + section["section"] + "\n")
            file.writelines(" ".join(question) + "\n" for question in section["questions"])
        file.flush()
        accuracy, found = read.evaluate_word_analogies(file.name)
        with_dummy, _ = read.evaluate_word_analogies(file.name, dummy4unknown=True)
    pairs = [["king", "queen", 9.0], ["bread", "SEA", 1.5], ["apple", "pear", 7.0], ["plum", "lake", 2.0],
             ["nowhere", "sea", 3.0], ["手机", "电脑", 8.0], ["man", "woman", 8.0]]
    with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="utf-8") as file:
        file.writelines("\t".join(map(str, pair)) + "\n" for pair in pairs)
        file.flush()
        pearson, spearman, unknown = read.evaluate_word_pairs(file.name)
    golden["plain"] = {
        "words": WORDS,
        "vectors": {word: rounded(read[word]) for word in ["king", "slow"]},
        "nearest": {word: near(read.most_similar(word, topn=6)) for word in ["king", "北京"]},
        "nearest_restricted": near(read.most_similar("king", topn=6, restrict_vocab=10)),
        "add": near(read.most_similar(positive=["queen", "man"], negative=["king"], topn=6)),
        "mul": near(read.most_similar_cosmul(positive=["queen", "man"], negative=["king"], topn=6)),
        "similarity": float(read.similarity("king", "queen")),
        "sections": sections,
        "analogies": {
            "accuracy": accuracy,
            "with_dummy": with_dummy,
            "sections": [[s["section"], len(s["correct"]), len(s["correct"]) + len(s["incorrect"])] for s in found],
        },
        "pairs": pairs,
        "word_pairs": {"pearson": float(pearson[0]), "spearman": float(spearman[0]), "unknown_percent": unknown},
    }
    golden["documents"] = documents(vectors)
    golden["phrases"] = {}
    for name, options in {
        "default": {"min_count": 2, "threshold": 1.0, "scoring": "default"},
        "npmi": {"min_count": 2, "threshold": 0.2, "scoring": "npmi"},
    }.items():
        phrases = Phrases(sentences, delimiter="_", **options)
        joined = [phrases[sentence] for sentence in sentences]
        counts = {}
        for sentence in joined:
            for word in sentence:
                counts[word] = counts.get(word, 0) + 1
        golden["phrases"][name] = {"options": options, "counts": counts}
    with open(os.path.join(HERE, "golden.json"), "w", encoding="utf-8") as file:
        json.dump(golden, file, ensure_ascii=False, indent=1)
        file.write("\n")


main()
