"""Trains with gensim and saves the vectors as text; prints seconds and CPU seconds. argv[1]: options as JSON."""
import json
import sys
import time

import gensim
from gensim.models import Word2Vec

options = json.loads(sys.argv[1])
begin, cpu = time.perf_counter(), time.process_time()
# corpus_file: the threads read the file themselves, gensim's fast way.
model = Word2Vec(
    corpus_file=options["corpus"],
    epochs=options["epochs"],
    workers=options["threads"],
    sg=int(options["sg"]),
    vector_size=options["vectorSize"],
    window=options["window"],
    negative=options["negative"],
    sample=options["sample"],
    min_count=options["minCount"],
    alpha=options["alpha"],
    seed=options["seed"],
)
seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
model.wv.save_word2vec_format(options["out"])
print(json.dumps({"seconds": seconds, "cpuSeconds": cpu_seconds, "words": len(model.wv), "version": gensim.__version__}))
