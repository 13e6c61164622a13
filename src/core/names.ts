/**
 * The names that options take, each list once. The public types, the rules that check options, the command line and the
 * readers of model files all come from these lists; native/binding/convert.cc maps them to the core's values.
 */

/** How the tokens of a text become one vector. */
export const POOLINGS = ['cls', 'mean', 'max', 'mean_sqrt_len', 'weightedmean', 'lasttoken'] as const
export type PoolingMode = (typeof POOLINGS)[number]

/** Which tokens a token sees. */
export const ATTENTIONS = ['causal', 'bidirectional', 'prefix'] as const
export type AttentionMode = (typeof ATTENTIONS)[number]

/** What the arithmetic of a transformer's layers is done in. */
export const DTYPES = ['float32', 'float16', 'bfloat16', 'int8'] as const
/**
 * The type of the arithmetic in a transformer's layers. Embeddings, the sums between layers, norms, softmax, pooling,
 * the modules after it and the resulting vectors are float32 in each.
 * - `'float32'`: the layers too, as the reference computes them.
 * - `'float16'`: as bfloat16, with numbers of more digits and less range: a model whose numbers pass 65504 fails with
 *   `ERR_EMBEDCORE_NON_FINITE`. A device without float16, as the CPU, refuses it.
 * - `'bfloat16'`: weights and inputs of matrix products, including those of attention, are rounded to bfloat16; sums
 *   are float32. The weights of matrix products take half the memory; the cosine to the float32 vectors is at least
 *   0.9999 on the real models tested.
 * - `'int8'`: weights of matrix products are int8 with one scale per output channel, their inputs have 8 bits with one
 *   range per token, and sums are exact. Attention and everything else between two products is as in bfloat16. The
 *   weights of matrix products take a quarter of the memory; the cosine to the float32 vectors is at least 0.998 on the
 *   real models tested. Loading takes longer, because the sizes of the inputs of each layer's matrices are measured in
 *   float32.
 */
export type Dtype = (typeof DTYPES)[number]

/** Types of the numbers that encode returns. */
export const PRECISIONS = ['float32', 'int8', 'uint8', 'binary', 'ubinary'] as const
export type Precision = (typeof PRECISIONS)[number]

/** Measures of similarity; distances are negated. */
export const SIMILARITIES = ['cosine', 'dot', 'euclidean', 'manhattan'] as const
export type SimilarityName = (typeof SIMILARITIES)[number]

/** What evaluate measures. */
export const EVALUATIONS = [
  'sts',
  'retrieval',
  'triplet',
  'bitext',
  'bitext-matrix',
  'pair-classification',
  'reranking',
  'clustering',
  'classification',
  'zero-shot',
  'token-classification',
  'geometry',
] as const
/**
 * - `'sts'`: semantic textual similarity; pairs of texts with scores given by people.
 * - `'retrieval'`: queries, a corpus, and the documents that are relevant to each query.
 * - `'triplet'`: anchors with a text that belongs to them and one that does not.
 * - `'bitext'`: texts with their translations.
 * - `'bitext-matrix'`: texts in several languages, each against each.
 * - `'pair-classification'`: pairs of texts that belong together or do not.
 * - `'reranking'`: queries with documents of their own, relevant ones and others.
 * - `'clustering'`: texts with labels, which clusters are compared with.
 * - `'classification'`: texts with labels; a linear classifier on a few examples of each, or on all.
 * - `'zero-shot'`: texts with labels, which are found by their names.
 * - `'token-classification'`: words with tags; a linear classifier on the vectors of tokens.
 * - `'geometry'`: texts alone; how their vectors fill the space.
 */
export type EvaluationTask = (typeof EVALUATIONS)[number]

/** One vector per text, or one per token. */
export const OUTPUTS = ['sentence', 'token'] as const
export type OutputMode = (typeof OUTPUTS)[number]

/** How several layers become one. */
export const FUSIONS = ['mean', 'concat'] as const
export type LayerFusion = (typeof FUSIONS)[number]

/** Activations of Dense modules. */
export const ACTIVATIONS = ['identity', 'tanh', 'relu', 'gelu', 'sigmoid', 'silu'] as const
export type Activation = (typeof ACTIVATIONS)[number]

/** Ends of a text that truncation cuts. */
export const SIDES = ['right', 'left'] as const
export type Side = (typeof SIDES)[number]

/** Where the arithmetic runs, besides a CUDA device by its number. */
export const DEVICES = ['auto', 'cpu', 'cuda'] as const
/** A CUDA device by its number, from 0. */
export type CudaDevice = `cuda:${number}`
/** A device of this machine. */
export type DeviceId = 'cpu' | CudaDevice
/**
 * - `'auto'`: the first CUDA device that can be used, else the CPU.
 * - `'cpu'`: the processor.
 * - `'cuda'`: the first CUDA device that can be used.
 * - `'cuda:1'`: the CUDA device of this number.
 */
export type DeviceName = (typeof DEVICES)[number] | CudaDevice

/** `transformer`: layers over the embeddings of tokens. `static`: the mean of a table's rows. */
export type ModelKind = 'transformer' | 'static'

/** Formats of files with static vectors. fastText's `.vec` is `'word2vec'`, its `.bin` is `'fasttext'`. */
export const STATIC_FORMATS = ['word2vec', 'word2vec-binary', 'glove', 'fasttext'] as const
export type StaticFormat = (typeof STATIC_FORMATS)[number]

/** How a map of texts gets its two dimensions. */
export const MAP_METHODS = ['pca', 'umap'] as const
export type MapMethod = (typeof MAP_METHODS)[number]

/** What becomes of words that are not UTF-8. */
export const INVALID_UTF8 = ['error', 'replace', 'skip'] as const
export type InvalidUtf8 = (typeof INVALID_UTF8)[number]
