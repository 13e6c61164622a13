"""Opens what a run saved and prints the vectors of texts as JSON.

    python3 open_in_python.py st DIRECTORY TEXT...           with sentence-transformers
    python3 open_in_python.py peft BASE DIRECTORY TEXT...    the adapter alone, with PEFT: mean of the last states
"""

import json
import sys

import torch


def with_sentence_transformers(directory, *texts):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(directory, device="cpu", local_files_only=True)
    return model.encode(list(texts)).tolist()


def with_peft(base, directory, *texts):
    from peft import PeftModel
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    model = PeftModel.from_pretrained(AutoModel.from_pretrained(base, dtype=torch.float32), directory).eval()
    rows = []
    for text in texts:
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        rows.append(torch.nn.functional.normalize(states.mean(0), dim=0).tolist())
    return rows


if __name__ == "__main__":
    torch.set_num_threads(1)
    how = {"st": with_sentence_transformers, "peft": with_peft}[sys.argv[1]]
    print(json.dumps(how(*sys.argv[2:])))
