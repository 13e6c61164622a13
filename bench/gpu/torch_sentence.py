"""sentence-transformers on a model with random weights and a tokenizer of whole words: each word is one token."""
import tempfile


class SentenceEncoder:
    """Raises where the libraries are not installed. From strings to vectors in host memory."""

    def __init__(self, model, shape, device, dtype):
        """model: of the transformers library, with the weights that this one gets."""
        import sentence_transformers
        from sentence_transformers import models
        from tokenizers import Tokenizer, pre_tokenizers
        from tokenizers.models import WordLevel
        from transformers import PreTrainedTokenizerFast

        words = {f"w{i}": i for i in range(shape["vocab"])}
        tokenizer = Tokenizer(WordLevel(words, unk_token="w0"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="w0", unk_token="w0")
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            fast.save_pretrained(folder)
            transformer = models.Transformer(
                folder, max_seq_length=512, model_kwargs={"dtype": dtype, "attn_implementation": "sdpa"}
            )
        # The loader takes the tokenizer's class from the model's family, which need not keep whole words.
        fast.model_max_length = 512
        setattr(transformer, "processor" if hasattr(transformer, "processor") else "tokenizer", fast)
        self.version = sentence_transformers.__version__
        modules = [transformer, models.Pooling(shape["hidden"], "mean"), models.Normalize()]
        self.model = sentence_transformers.SentenceTransformer(modules=modules, device=device)
        self.strings = {}
        ids = self.model.tokenize(["w7 w12 w9", "w3"])["input_ids"].tolist()
        if ids != [[7, 12, 9], [3, 0, 0]]:
            raise RuntimeError(f"words are not tokens: {ids}")

    def encode(self, texts, batch_size):
        key = id(texts)
        if key not in self.strings:
            self.strings = {key: [" ".join(f"w{i}" for i in text.tolist()) for text in texts]}
        return self.model.encode(self.strings[key], batch_size=batch_size, show_progress_bar=False,
                                 convert_to_tensor=False)
