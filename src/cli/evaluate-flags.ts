/** The flags of `embedcore evaluate`, and which of them go with which task. */
import { EVALUATIONS, type EvaluationTask, SIMILARITIES } from '../core/names.js'
import type { Flags } from './arguments.js'
import { ENCODE_FLAGS, MODEL_FLAGS, PRECISION_FLAG } from './options.js'

/** Data and settings of the evaluators. */
const EVALUATOR_FLAGS = {
  task: { type: 'string', short: 't', value: 'TASK', help: EVALUATIONS.join(', ') },
  data: {
    type: 'string',
    short: 'd',
    value: 'PATH',
    help: 'the file of rows, or the directory of a data set of BEIR or MTEB',
  },
  columns: {
    type: 'string',
    value: 'A,B,...',
    help: 'the columns of the rows, by name or, without a header, by number',
  },
  quote: { type: 'string', value: 'CHAR', help: 'csv, tsv: the quote character, or none (default ")' },
  split: { type: 'string', value: 'NAME', help: 'of a directory: the split (default test)' },
  subset: { type: 'string', value: 'NAME', help: 'of a directory: the subset, such as a language' },
  train: { type: 'string', value: 'PATH', help: 'classification: the examples; without it the split train' },
  'samples-per-label': {
    type: 'string',
    value: 'N',
    help: 'classification: examples of each label, or all (default 8)',
  },
  experiments: { type: 'string', value: 'N', help: 'classification (default 10), clustering (default 1)' },
  seed: { type: 'string', value: 'N', help: 'of random draws (default 42; of intervals 0)' },
  template: { type: 'string', value: 'TEXT', help: 'zero-shot: a text with {} in the place of the name of a label' },
  languages: { type: 'string', value: 'LIST', help: 'bitext-matrix: the columns of the languages' },
  pairs: { type: 'boolean', help: 'geometry: the rows have a second text, positive' },
  queries: { type: 'string', value: 'FILE', help: 'retrieval: texts with ids (jsonl, csv, tsv, parquet)' },
  corpus: { type: 'string', value: 'FILE', help: 'retrieval: documents with ids' },
  'relevant-docs': { type: 'string', value: 'FILE', help: 'retrieval: judgments (TREC qrels, tsv, csv, jsonl)' },
  name: { type: 'string', value: 'NAME', help: 'put before the names of the metrics' },
  'similarity-fn-names': { type: 'string', value: 'LIST', help: `comma list of ${SIMILARITIES.join(', ')}` },
  'main-similarity': { type: 'string', value: 'NAME', help: 'the measure of the score' },
  ...PRECISION_FLAG,
  margin: { type: 'string', value: 'X', help: 'triplet: how much nearer the positive must be (default 0)' },
  'at-k': { type: 'string', value: 'N', help: 'reranking: documents that count for mrr and ndcg (default 10)' },
  'accuracy-at-k': { type: 'string', value: 'LIST', help: 'retrieval (default 1,3,5,10)' },
  'precision-recall-at-k': { type: 'string', value: 'LIST', help: 'retrieval (default 1,3,5,10)' },
  'mrr-at-k': { type: 'string', value: 'LIST', help: 'retrieval (default 10)' },
  'ndcg-at-k': { type: 'string', value: 'LIST', help: 'retrieval (default 10); the score has the largest' },
  'map-at-k': { type: 'string', value: 'LIST', help: 'retrieval (default 100)' },
  'query-prompt': { type: 'string', value: 'TEXT', help: "retrieval: put before queries; without it the model's own" },
  'query-prompt-name': { type: 'string', value: 'NAME', help: "retrieval: one of the model's prompts" },
  'corpus-prompt': {
    type: 'string',
    value: 'TEXT',
    help: "retrieval: put before documents; without it the model's own",
  },
  'corpus-prompt-name': { type: 'string', value: 'NAME', help: "retrieval: one of the model's prompts" },
  'write-run': { type: 'string', value: 'FILE', help: 'retrieval: the documents found, as a TREC run' },
} as const satisfies Flags

/** In place of a model and a task: the results of any search. */
const RUN_FLAGS = {
  run: { type: 'string', value: 'FILE', help: 'a TREC run, judged by the rules of trec_eval; no model' },
  qrels: { type: 'string', value: 'FILE', help: 'with --run: the judgments (TREC qrels, tsv of BEIR, jsonl)' },
  measures: { type: 'string', value: 'LIST', help: 'with --run: map, P_10, ndcg_cut_10, ...; P has all its cutoffs' },
  'primary-metric': { type: 'string', value: 'NAME', help: 'with --run: the score (default ndcg_cut_10)' },
  'relevance-level': {
    type: 'string',
    value: 'N',
    help: 'with --run: lowest grade of a relevant document (default 1)',
  },
  complete: { type: 'boolean', help: 'with --run: 0 for judged queries without results (trec_eval -c)' },
  'judged-only': { type: 'boolean', help: 'with --run: documents without a judgment are taken out (trec_eval -J)' },
  'max-documents': { type: 'string', value: 'N', help: 'with --run: documents of a query that count (trec_eval -M)' },
  'ignore-identical': { type: 'boolean', help: 'with --run: the document with the id of its query is taken out' },
  'trec-version': {
    type: 'string',
    value: '9|10',
    help: 'with --run: scores are float32 (9, default) or float64 (10)',
  },
  'per-query': { type: 'boolean', help: 'with --run: the metrics of each query' },
} as const satisfies Flags

/** What is told of the score, and what it is held against. */
const RESULT_FLAGS = {
  views: {
    type: 'string',
    value: 'LIST',
    help: 'the score by group: fields of the rows or queries, length, popularity',
  },
  intervals: { type: 'boolean', help: 'intervals of the score and of each group, by the bootstrap' },
  'min-score': { type: 'string', value: 'X', help: 'exit code 1 if the score is below' },
  baseline: { type: 'string', value: 'FILE', help: 'exit code 1 if the score fell below that of the file' },
  'max-drop': { type: 'string', value: 'X', help: 'with --baseline: by how much it may fall' },
  significance: {
    type: 'string',
    value: 'P',
    help: 'with --baseline: a fall that is less probable by chance fails (default 0.05 without --max-drop)',
  },
  'write-baseline': { type: 'string', value: 'FILE', help: 'this result, for --baseline' },
  'write-items': { type: 'string', value: 'FILE', help: 'the score of each item, as JSON lines' },
  'write-mteb': { type: 'string', value: 'DIR', help: 'the result as MTEB has them, in DIR/MODEL/REVISION/TASK.json' },
  html: { type: 'string', value: 'FILE', help: 'a report with plots' },
  compare: { type: 'string', value: 'LIST', help: 'with --html: baseline files of other models, shown beside' },
} as const satisfies Flags

export const EVALUATE_COMMAND_FLAGS = {
  ...EVALUATOR_FLAGS,
  ...RUN_FLAGS,
  ...RESULT_FLAGS,
  'batch-size': { type: 'string', value: 'N', help: 'rows handed over at once (default 256)' },
  ...MODEL_FLAGS,
  ...ENCODE_FLAGS,
  json: { type: 'boolean', help: 'for machines: the result as one JSON object' },
  help: { type: 'boolean', short: 'h', help: 'this help' },
} as const satisfies Flags

/** Flags that `--run` allows. */
export const FLAGS_OF_RUN: readonly string[] = [
  ...Object.keys(RUN_FLAGS),
  ...Object.keys(RESULT_FLAGS),
  ...['queries', 'quote', 'name', 'seed', 'json', 'help'],
]
/** Flags that only `--run` has. */
export const ONLY_FOR_RUN = Object.keys(RUN_FLAGS)

const TABLES = EVALUATIONS.filter((task) => task !== 'retrieval')
const WITH_COLUMNS = TABLES.filter((task) => task !== 'bitext-matrix')

/** The tasks of the flags that not every task has. */
export const TASKS_OF: Readonly<Record<string, readonly EvaluationTask[]>> = {
  columns: WITH_COLUMNS,
  subset: TABLES,
  train: ['classification', 'token-classification'],
  'samples-per-label': ['classification'],
  experiments: ['classification', 'clustering'],
  template: ['zero-shot'],
  languages: ['bitext-matrix'],
  pairs: ['geometry'],
  'at-k': ['reranking'],
  'similarity-fn-names': ['sts', 'triplet', 'retrieval', 'pair-classification'],
  'main-similarity': ['sts', 'triplet', 'retrieval', 'pair-classification', 'reranking', 'zero-shot'],
  precision: ['sts'],
  margin: ['triplet'],
  ...Object.fromEntries(
    [
      'queries',
      'corpus',
      'relevant-docs',
      'accuracy-at-k',
      'precision-recall-at-k',
      'mrr-at-k',
      'ndcg-at-k',
      'map-at-k',
      'query-prompt',
      'query-prompt-name',
      'corpus-prompt',
      'corpus-prompt-name',
      'write-run',
    ].map((flag) => [flag, ['retrieval'] as const]),
  ),
}
