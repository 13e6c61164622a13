/** The evaluators whose scores come from groups, classes and neighbours of texts. */
import type { EvaluatorBase, SimilarityChoice, TableSource } from '../types.js'

/** Two texts, and whether they mean the same. */
export interface PairRow {
  readonly sentence1: string
  readonly sentence2: string
  /** 1 = they do, 0 = they do not. */
  readonly label: number | boolean
}

/**
 * BinaryClassificationEvaluator: how well a threshold of the similarity parts pairs that belong together from others.
 * Metrics, for each measure: `<measure>_accuracy`, `_accuracy_threshold`, `_f1`, `_f1_threshold`, `_precision`,
 * `_recall`, `_ap`, `_mcc`; of several measures also `max_accuracy` and so on. Primary is `_ap`.
 */
export interface PairClassificationEvaluator extends EvaluatorBase, SimilarityChoice, TableSource<PairRow> {
  task: 'pair-classification'
}

/** A query and the documents that are to be put in order. */
export interface RerankingRow {
  readonly query: string
  readonly positive: string | readonly string[]
  readonly negative: string | readonly string[]
}

/**
 * RerankingEvaluator: how well the relevant ones of a query's own documents come first. Rows without a positive or
 * without a negative are left out. Metrics: `map`, `mrr@k`, `ndcg@k` with k = `atK`; primary is `ndcg@k`.
 */
export interface RerankingEvaluator extends EvaluatorBase, TableSource<RerankingRow> {
  task: 'reranking'
  /** Default 10. */
  atK?: number
  /** The measure. Default: the model's own. */
  mainSimilarity?: SimilarityChoice['mainSimilarity']
}

/** A text and its class. */
export interface LabelledRow {
  readonly text: string
  readonly label: string | number | boolean
}

/**
 * Clustering as in MTEB: mini-batch k-means with as many clusters as there are labels. Metrics: `v_measure` (primary),
 * `v_measure_std` over the experiments, `homogeneity`, `completeness`.
 */
export interface ClusteringEvaluator extends EvaluatorBase, TableSource<LabelledRow> {
  task: 'clustering'
  /** Each with texts drawn anew. Default 1, with all texts. */
  experiments?: number
  /** Texts that each of several experiments draws with replacement. Default 2048, at most all. */
  textsPerExperiment?: number
  /** Texts between two updates of the centres. Default 500. */
  clusterBatchSize?: number
  /** Default 42. */
  seed?: number
}

/**
 * Classification as in MTEB: a logistic regression on the vectors of a few examples of each label, judged on other
 * texts; with all examples a linear probe. Metrics, means over the experiments: `accuracy` (primary), `accuracy_std`,
 * `f1` (the mean of the labels), `f1_weighted`.
 */
export interface ClassificationEvaluator extends EvaluatorBase, TableSource<LabelledRow> {
  task: 'classification'
  /** Where the examples come from. Without it, the split `train` of the directory in `data`. */
  train?: string | readonly LabelledRow[]
  /** Examples of each label, or `'all'`. Default 8. */
  samplesPerLabel?: number | 'all'
  /** Each with examples drawn anew; with all examples there is one. Default 10. */
  experiments?: number
  /** Inverse of the strength of the L2 penalty. Default 1. */
  C?: number
  /** Default 42. */
  seed?: number
}

/**
 * Classification without examples: a text gets the label whose name is most similar. Metrics: `accuracy` (primary),
 * `f1`, `f1_weighted`.
 */
export interface ZeroShotEvaluator extends EvaluatorBase, TableSource<LabelledRow> {
  task: 'zero-shot'
  /** The name of each label, or several. Default: the labels in the data are their own names. */
  labels?: Readonly<Record<string, string | readonly string[]>>
  /** A text with `{}` in the place of the name. Default `'{}'`. */
  template?: string
  /** The measure. Default: the model's own. */
  mainSimilarity?: SimilarityChoice['mainSimilarity']
}

/** A sentence as words, and the tag of each word. */
export interface TaggedRow {
  readonly tokens: readonly string[]
  readonly tags: readonly (string | number)[]
}

/**
 * A linear probe on the vectors of tokens, such as entity recognition: a logistic regression on the words of `train`,
 * judged on the words of `data`. The vector of a word is the mean of its tokens. Metrics: `accuracy`, `f1` (the mean of
 * the tags), and where tags begin with `B-` and `I-` also `entity_precision`, `entity_recall` and `entity_f1`, then
 * primary; else `f1` is.
 */
export interface TokenClassificationEvaluator extends EvaluatorBase, TableSource<TaggedRow> {
  task: 'token-classification'
  train?: string | readonly TaggedRow[]
  C?: number
}

/** A text, perhaps with one that means the same. */
export interface GeometryRow {
  readonly text: string
  readonly positive?: string
}

/**
 * How vectors fill their space. Metrics: `uniformity` (log of the mean of exp(-2 d^2) over pairs, lower is better),
 * `mean_cosine` of pairs, `isoscore` (primary; 1 = all directions alike, 0 = one), `explained_variance@k` and
 * `effective_dimensions`; with `pairs` also `alignment` (mean of d^2 over pairs that belong together, lower is better).
 */
export interface GeometryEvaluator extends EvaluatorBase, TableSource<GeometryRow> {
  task: 'geometry'
  /** The rows have a second text, `positive`. Default false. */
  pairs?: boolean
  /** Pairs of texts that are drawn where there are more. Default 1,000,000. */
  samples?: number
  /** Default 42. */
  seed?: number
}

/**
 * Every language against every other: rows have one text per language that mean the same. Metrics:
 * `<from>-<to>_accuracy`, the share of texts whose most similar one of the other language is their translation, and
 * `mean_accuracy` (primary), `worst_accuracy`, `mixed_accuracy` (the most similar one of all other languages together)
 * and `own_language_share`, the share of the most similar other texts that are of the same language.
 */
export interface BitextMatrixEvaluator extends EvaluatorBase {
  task: 'bitext-matrix'
  /** The rows, or the path of a file or a directory. */
  data: TableSource<Readonly<Record<string, string>>>['data']
  /** The columns of the languages. */
  languages: readonly string[]
  quote?: string
  split?: string
  subset?: string
}
