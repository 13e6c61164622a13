/** The types of evaluate: evaluators, options, results. Names follow sentence-transformers where it has one. */
import type { EvaluationTask, Precision, SimilarityName } from '../core/names.js'
import type { EncodeOptions } from '../model/types.js'
import type { Interval, ItemScores, ResamplingOptions, View } from './statistics/types.js'
import type {
  BitextMatrixEvaluator,
  ClassificationEvaluator,
  ClusteringEvaluator,
  GeometryEvaluator,
  PairClassificationEvaluator,
  RerankingEvaluator,
  TokenClassificationEvaluator,
  ZeroShotEvaluator,
} from './tasks/types.js'

/** What evaluate asks of what is not a `Model`: vectors from elsewhere, or a model in training. */
export interface Encoder {
  /** `info.similarity` is the measure of evaluators that name none; without it they take `'cosine'`. */
  readonly info?: { readonly name?: string; readonly similarity?: SimilarityName }
  /** One row per text. Each call may be made before the last one has ended. */
  encode(texts: readonly string[], options?: EncoderOptions): Promise<EncodedTexts>
  /** For the queries of retrieval; without it, `encode`. */
  encodeQuery?(texts: readonly string[], options?: EncoderOptions): Promise<EncodedTexts>
  /** For the corpus of retrieval; without it, `encode`. */
  encodeDocument?(texts: readonly string[], options?: EncoderOptions): Promise<EncodedTexts>
  /** For the task `'token-classification'`. */
  encodeTokens?(texts: readonly string[], options?: EncoderOptions): Promise<EncodedTokens>
}

/** The options that evaluate hands to an encoder: those of encode that keep one float32 vector per text. */
export type EncoderOptions = Omit<EncodeOptions, 'output' | 'precision' | 'ranges' | 'prefixTokens'> & {
  prefixTokens?: number
}

/** What an encoder returns. */
export interface EncodedTexts {
  /** All vectors, one after the other. */
  readonly data: Float32Array
  /** [texts, numbers per vector] */
  readonly shape: readonly [number, number]
  /** Tokens of each text. */
  readonly tokenCounts?: Int32Array
}

/** What an encoder returns for tokens. */
export interface EncodedTokens {
  /** The vectors of all tokens, text by text. */
  readonly data: Float32Array
  /** [tokens, numbers per vector] */
  readonly shape: readonly [number, number]
  readonly tokenCounts: Int32Array
  /** [tokens, 2]: start and end of each token in its text, in UTF-16 units; special tokens have [0, 0). */
  readonly charOffsets: Int32Array
}

/** What every evaluator has. */
export interface EvaluatorBase {
  /** Put before the names of the metrics, with `_`. Default: none. */
  name?: string
  /** Dimensions of the vectors that are compared, as in encode. Default: the model's own. */
  dimensions?: number
  /**
   * The score by group: names of fields of the rows or queries, such as `'language'`, or `'length'` (of the first
   * text), for retrieval also `'popularity'` (head and tail of the catalogue). Not for tasks without a score of each
   * item.
   */
  views?: readonly string[]
}

/** Evaluators that compare by one measure or several. */
export interface SimilarityChoice {
  /** The measures. Default: `mainSimilarity`; without it, the model's own. */
  similarityFnNames?: SimilarityName | readonly SimilarityName[]
  /** The measure of the primary metric. Default: the best of `similarityFnNames`. */
  mainSimilarity?: SimilarityName
}

/** Where rows of named columns come from. */
export interface TableSource<Row> {
  /**
   * The rows, the path of a .jsonl, .csv, .tsv (also .gz) or .parquet file, or the directory of a data set of MTEB.
   */
  data: string | readonly Row[]
  /** With a directory: the split. Default `'test'`. */
  split?: string
  /** With a directory: the subset, such as a language. Default: none. */
  subset?: string
  /**
   * The names of the columns in the data, in the order of the row's own names. For csv and tsv also their numbers,
   * counted from 1, as texts or numbers: the first line is then a row. Default: the row's own names.
   */
  columns?: readonly (string | number)[]
  /** The quote of csv and tsv files; `'none'`: quotes are ordinary characters. Default `'"'`. */
  quote?: string
}

/** A pair of texts and the similarity that people gave it. */
export interface StsRow {
  readonly sentence1: string
  readonly sentence2: string
  /** On any scale. */
  readonly score: number
}

/**
 * EmbeddingSimilarityEvaluator: correlation of the similarities of pairs with scores given by people. Metrics:
 * `pearson_<measure>`, `spearman_<measure>`; of several measures also `pearson_max` and `spearman_max`.
 */
export interface StsEvaluator extends EvaluatorBase, SimilarityChoice, TableSource<StsRow> {
  task: 'sts'
  /**
   * What the vectors are rounded to before they are compared; they are normalised before that. `'int8'` and `'uint8'`
   * take their ranges from the first and the second sentences each. Default: none.
   */
  precision?: Precision
}

/** An anchor and two texts of which the first belongs to it. */
export interface TripletRow {
  readonly anchor: string
  readonly positive: string
  readonly negative: string
}

/**
 * TripletEvaluator: share of triplets whose anchor is more similar to the positive than to the negative, by more than
 * the margin. Metrics: `<measure>_accuracy`; of several measures also `max_accuracy`.
 */
export interface TripletEvaluator extends EvaluatorBase, SimilarityChoice, TableSource<TripletRow> {
  task: 'triplet'
  /** For all measures, or by measure. Default 0. */
  margin?: number | Readonly<Partial<Record<SimilarityName, number>>>
}

/** A text and its translation. */
export interface BitextRow {
  readonly source_sentence: string
  readonly target_sentence: string
}

/**
 * TranslationEvaluator: share of texts whose most similar one of the other language, by cosine, is their translation.
 * Metrics: `src2trg_accuracy`, `trg2src_accuracy`, `mean_accuracy`.
 */
export interface BitextEvaluator extends EvaluatorBase, TableSource<BitextRow> {
  task: 'bitext'
}

/** Texts by id: a map, an object, rows, or the path of a file. */
export type TextsById =
  string | ReadonlyMap<string | number, string> | Readonly<Record<string, string>> | readonly TextRow[]

/** A text with its id, as in BEIR. */
export interface TextRow {
  readonly _id: string | number
  /** Put before the text, with a space. */
  readonly title?: string
  readonly text: string
}

/** Relevant documents of one query: their ids, or a grade by id, of which those above 0 count. */
export type RelevantIds =
  | readonly (string | number)[]
  | ReadonlySet<string | number>
  | ReadonlyMap<string | number, number>
  | Readonly<Record<string, number>>

/** Relevant documents by query: a map, an object, or the path of a file of judgments. */
export type RelevantDocs = string | ReadonlyMap<string | number, RelevantIds> | Readonly<Record<string, RelevantIds>>

/**
 * InformationRetrievalEvaluator: how well the documents nearest to each query are the relevant ones. Queries without a
 * relevant document are left out. Metrics, for each measure and k: `<measure>_accuracy@k`, `_precision@k`, `_recall@k`,
 * `_ndcg@k`, `_mrr@k`, `_map@k`.
 */
export interface RetrievalEvaluator extends EvaluatorBase, SimilarityChoice {
  task: 'retrieval'
  /** The directory of a data set in the layout of BEIR, in place of the next three. */
  data?: string
  /** With `data`: the judgments are those of qrels/<split>.tsv. Default `'test'`. */
  split?: string
  queries?: TextsById
  corpus?: TextsById
  relevantDocs?: RelevantDocs
  /** The quote of csv and tsv files; `'none'`: quotes are ordinary characters. Default `'"'`. */
  quote?: string
  /** Default [1, 3, 5, 10]. */
  accuracyAtK?: readonly number[]
  /** Default [1, 3, 5, 10]. */
  precisionRecallAtK?: readonly number[]
  /** Default [10]. */
  mrrAtK?: readonly number[]
  /** The primary metric has the largest of them. Default [10]. */
  ndcgAtK?: readonly number[]
  /** Default [100]. */
  mapAtK?: readonly number[]
  /** Put before every query. Default: the model's prompt `query`. */
  queryPrompt?: string
  /** A prompt of the model by name. */
  queryPromptName?: string
  /** Put before every document. Default: the model's prompt `document`. */
  corpusPrompt?: string
  /** A prompt of the model by name. */
  corpusPromptName?: string
  /** Where the documents found are written as a TREC run, those of the primary measure. Default: nowhere. */
  runFile?: string
  /** Documents of each query in it. Default 1000. */
  runDepth?: number
}

/** One evaluator: plain data, which may be used any number of times. A file is read anew each time. */
export type Evaluator =
  | StsEvaluator
  | RetrievalEvaluator
  | TripletEvaluator
  | BitextEvaluator
  | BitextMatrixEvaluator
  | PairClassificationEvaluator
  | RerankingEvaluator
  | ClusteringEvaluator
  | ClassificationEvaluator
  | ZeroShotEvaluator
  | TokenClassificationEvaluator
  | GeometryEvaluator

/** Options of evaluate. */
export interface EvaluateOptions {
  /** Stops the evaluation, which then rejects with ERR_EMBEDCORE_ABORTED. */
  signal?: AbortSignal
  /** Called as texts are encoded. What it throws ends the evaluation with ERR_EMBEDCORE_INVALID_OPTION. */
  onProgress?: (progress: EvaluateProgress) => void
  /**
   * Rows, queries or documents encoded together, 1 to 65536; a few times as many are held in memory. The metrics do not
   * depend on it. Default 256.
   */
  batchSize?: number
  /** Options of encode for all texts. A prompt that an evaluator names counts more than one that is named here. */
  encode?: Omit<EncoderOptions, 'dimensions' | 'signal' | 'onProgress'>
  /** Bootstrap intervals of the score and of each view. Default false. */
  intervals?: boolean | ResamplingOptions
  /** The score of each item in the result, for compareEvaluations and baselines. Default false. */
  items?: boolean
  /** Of several evaluators: the score of all, from the score of each. Default: that of the last. */
  mainScoreFunction?: (scores: readonly number[]) => number
}

export interface EvaluateProgress {
  /** Number of the evaluator, from 0. */
  readonly evaluator: number
  /** Evaluators of the call. */
  readonly evaluators: number
  readonly task: EvaluationTask
  readonly name: string
  /** Texts of this evaluator that are encoded. */
  readonly done: number
  /** Texts of this evaluator; null while a file is being read. */
  readonly total: number | null
  /** Tokens of the texts that are encoded; 0 where the encoder does not count them. */
  readonly tokens: number
  /** Share of this evaluator's texts that are encoded, 0 to 1; null where it is not known. */
  readonly share: number | null
}

/** The result of one evaluator: plain data, also for JSON. */
export interface Evaluation {
  readonly task: EvaluationTask
  readonly name: string
  /** The name of the metric that is the score. */
  readonly primaryMetric: string
  readonly score: number
  /** By name, as sentence-transformers names them. NaN (in JSON null): a correlation of similarities that are equal. */
  readonly metrics: Readonly<Record<string, number>>
  /** Pairs, triplets, texts, sentences, or queries with a relevant document. */
  readonly rows: number
  /** Documents of the corpus; 0 for other tasks than retrieval. */
  readonly documents: number
  /** Texts encoded. */
  readonly texts: number
  /** Their tokens; 0 where the encoder does not count them. */
  readonly tokens: number
  readonly seconds: number
  /** Of the score, with the option `intervals`. */
  readonly interval?: Interval
  /** With `views` of the evaluator. */
  readonly views?: readonly View[]
  /** With the option `items`. */
  readonly items?: ItemScores
}

/** The result of several evaluators, as of SequentialEvaluator. */
export interface Evaluations {
  readonly primaryMetric: 'sequential_score'
  readonly score: number
  /** The metrics of all evaluators, and `sequential_score`. */
  readonly metrics: Readonly<Record<string, number>>
  readonly texts: number
  readonly tokens: number
  readonly seconds: number
  /** One by one, in the order given. */
  readonly evaluations: readonly Evaluation[]
}
