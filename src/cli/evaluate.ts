/** `embedcore evaluate`: judges a model on data with judgments, for people and, with --min-score, for CI. */
import { EVALUATIONS, type EvaluationTask, PRECISIONS, SIMILARITIES } from '../core/names.js'
import type { EvaluateOptions, Evaluation, Evaluator, RetrievalEvaluator } from '../evaluate/types.js'
import {
  booleanOf,
  choiceOf,
  choicesOf,
  integerOf,
  integersOf,
  numberOf,
  parseArguments,
  refuseBoth,
  stringOf,
  type Arguments,
  type Flags,
} from './arguments.js'
import type { CliIO } from './contract.js'
import { EXIT, ScoreError, UsageError } from './failures.js'
import { ENCODE_FLAGS, encodeOptionsOf, MODEL_FLAGS, PRECISION_FLAG } from './options.js'
import { StreamSink } from './output/sink.js'
import { withSession } from './session.js'
import { pairs } from './text.js'

export const EVALUATE_COMMAND_FLAGS = {
  task: { type: 'string', short: 't', value: 'TASK', help: EVALUATIONS.join(', ') },
  data: {
    type: 'string',
    short: 'd',
    value: 'PATH',
    help: 'the file of rows; retrieval: the directory of a BEIR data set',
  },
  columns: {
    type: 'string',
    value: 'A,B,...',
    help: 'the columns of the rows, by name or, without a header, by number',
  },
  quote: { type: 'string', value: 'CHAR', help: 'csv, tsv: the quote character, or none (default ")' },
  split: { type: 'string', value: 'NAME', help: 'retrieval: judgments of qrels/NAME.tsv (default test)' },
  queries: { type: 'string', value: 'FILE', help: 'retrieval: texts with ids (jsonl, csv, tsv)' },
  corpus: { type: 'string', value: 'FILE', help: 'retrieval: documents with ids' },
  'relevant-docs': { type: 'string', value: 'FILE', help: 'retrieval: judgments (TREC qrels, tsv, csv, jsonl)' },
  name: { type: 'string', value: 'NAME', help: 'put before the names of the metrics' },
  'similarity-fn-names': { type: 'string', value: 'LIST', help: `comma list of ${SIMILARITIES.join(', ')}` },
  'main-similarity': { type: 'string', value: 'NAME', help: 'the measure of the score' },
  ...PRECISION_FLAG,
  margin: { type: 'string', value: 'X', help: 'triplet: how much nearer the positive must be (default 0)' },
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
  'min-score': { type: 'string', value: 'X', help: 'exit code 1 if the score is below' },
  'batch-size': { type: 'string', value: 'N', help: 'rows handed over at once (default 256)' },
  ...MODEL_FLAGS,
  ...ENCODE_FLAGS,
  json: { type: 'boolean', help: 'for machines: the result as one JSON object' },
  help: { type: 'boolean', short: 'h', help: 'this help' },
} as const satisfies Flags

const TABLES: readonly EvaluationTask[] = ['sts', 'triplet', 'bitext']

/** The tasks of the flags that not every task has. */
const TASKS_OF: Readonly<Record<string, readonly EvaluationTask[]>> = {
  columns: TABLES,
  'similarity-fn-names': ['sts', 'triplet', 'retrieval'],
  'main-similarity': ['sts', 'triplet', 'retrieval'],
  precision: ['sts'],
  margin: ['triplet'],
  ...Object.fromEntries(
    [
      'split',
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
    ].map((flag) => [flag, ['retrieval'] as const]),
  ),
}

export async function evaluateCommand(argv: readonly string[], io: CliIO): Promise<number> {
  const args = parseArguments('evaluate', argv, EVALUATE_COMMAND_FLAGS)
  if (args.positionals.length > 0)
    throw new UsageError(
      `evaluate takes no arguments but flags, and ${JSON.stringify(args.positionals[0])} was given; ` +
        'data are named with --data',
      args.topic,
    )
  const evaluator = evaluatorOf(args)
  const least = numberOf(args, 'min-score')
  return withSession(args, io, { bar: true }, async ({ signal, progress, load }) => {
    const options = optionsOf(args, signal)
    options.onProgress = ({ done, tokens, share }) => progress.update({ texts: done, tokens, share })
    const model = await load()
    const result = await (await io.core()).evaluate(model, evaluator, options)
    progress.clear()
    const { info } = model
    await new StreamSink(io.stdout).write(
      booleanOf(args, 'json') ? `${JSON.stringify({ model: info.name, ...result })}\n` : describe(info.name, result),
    )
    if (least !== undefined && !(result.score >= least))
      throw new ScoreError(`${result.primaryMetric} is ${result.score}, below --min-score ${least}`)
    return EXIT.ok
  })
}

function evaluatorOf(args: Arguments): Evaluator {
  const task = choiceOf(args, 'task', EVALUATIONS)
  if (task === undefined) throw new UsageError(`--task says what is evaluated: ${EVALUATIONS.join(', ')}`, args.topic)
  for (const [flag, tasks] of Object.entries(TASKS_OF)) {
    if (args.values[flag] !== undefined && !tasks.includes(task))
      throw new UsageError(`--${flag} is for --task ${tasks.join(', ')}, not ${task}`, args.topic)
  }
  const common = defined({
    name: stringOf(args, 'name'),
    dimensions: integerOf(args, 'dimensions'),
    quote: stringOf(args, 'quote'),
  })
  const choice = defined({
    similarityFnNames: choicesOf(args, 'similarity-fn-names', SIMILARITIES),
    mainSimilarity: choiceOf(args, 'main-similarity', SIMILARITIES),
  })
  if (task === 'retrieval') return { task, ...common, ...choice, ...retrievalOf(args) }
  const data = stringOf(args, 'data')
  if (data === undefined) throw new UsageError('--data names the file of rows', args.topic)
  const table = { data, ...defined({ columns: stringOf(args, 'columns')?.split(',') }) }
  switch (task) {
    case 'sts':
      return {
        task,
        ...common,
        ...choice,
        ...table,
        ...defined({ precision: choiceOf(args, 'precision', PRECISIONS) }),
      }
    case 'triplet':
      return { task, ...common, ...choice, ...table, ...defined({ margin: numberOf(args, 'margin') }) }
    case 'bitext':
      return { task, ...common, ...table }
  }
}

function retrievalOf(args: Arguments): Partial<RetrievalEvaluator> {
  refuseBoth(args, 'query-prompt', 'query-prompt-name')
  refuseBoth(args, 'corpus-prompt', 'corpus-prompt-name')
  const files = ['queries', 'corpus', 'relevant-docs']
  const absent = files.filter((flag) => stringOf(args, flag) === undefined)
  if (stringOf(args, 'data') !== undefined) for (const flag of files) refuseBoth(args, 'data', flag)
  else if (absent.length > 0)
    throw new UsageError(
      `retrieval needs --data DIR, or --queries, --corpus and --relevant-docs; --${absent[0]} is absent`,
      args.topic,
    )
  return defined({
    data: stringOf(args, 'data'),
    split: stringOf(args, 'split'),
    queries: stringOf(args, 'queries'),
    corpus: stringOf(args, 'corpus'),
    relevantDocs: stringOf(args, 'relevant-docs'),
    accuracyAtK: integersOf(args, 'accuracy-at-k'),
    precisionRecallAtK: integersOf(args, 'precision-recall-at-k'),
    mrrAtK: integersOf(args, 'mrr-at-k'),
    ndcgAtK: integersOf(args, 'ndcg-at-k'),
    mapAtK: integersOf(args, 'map-at-k'),
    queryPrompt: stringOf(args, 'query-prompt'),
    queryPromptName: stringOf(args, 'query-prompt-name'),
    corpusPrompt: stringOf(args, 'corpus-prompt'),
    corpusPromptName: stringOf(args, 'corpus-prompt-name'),
  })
}

/** The options that were given. */
function defined<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never
}

function optionsOf(args: Arguments, signal: AbortSignal): EvaluateOptions {
  // The dimensions and the precision are the evaluator's.
  const { signal: _signal, dimensions: _dimensions, precision: _precision, ...encode } = encodeOptionsOf(args, signal)
  return {
    signal,
    encode: encode as EvaluateOptions['encode'],
    ...defined({ batchSize: integerOf(args, 'batch-size') }),
  }
}

const ROWS: Readonly<Record<EvaluationTask, string>> = {
  sts: 'pairs',
  triplet: 'triplets',
  bitext: 'pairs',
  retrieval: 'queries',
}

function describe(
  model: string,
  { task, primaryMetric, score, metrics, rows, documents, seconds }: Evaluation,
): string {
  const size = `${rows} ${ROWS[task]}${task === 'retrieval' ? `, ${documents} documents` : ''}`
  return (
    `${model}: ${primaryMetric} ${decimals(score)} (${size}, ${seconds.toFixed(1)} s)\n\n` +
    pairs(Object.entries(metrics).map(([name, value]) => [name, decimals(value)]))
  )
}

/** Four decimals, as sentence-transformers prints metrics. */
const decimals = (value: number): string => value.toFixed(4)
