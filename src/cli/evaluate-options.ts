/** From the arguments of `embedcore evaluate` to an evaluator, the options of evaluate, or those of evaluateRun. */
import { EVALUATIONS, PRECISIONS, SIMILARITIES } from '../core/names.js'
import type { RunOptions } from '../evaluate/run-types.js'
import type { EvaluateOptions, Evaluator, RetrievalEvaluator } from '../evaluate/types.js'
import {
  type Arguments,
  booleanOf,
  choiceOf,
  choicesOf,
  integerOf,
  integersOf,
  numberOf,
  refuseBoth,
  stringOf,
} from './arguments.js'
import { FLAGS_OF_RUN, ONLY_FOR_RUN, TASKS_OF } from './evaluate-flags.js'
import { UsageError } from './failures.js'
import { encodeOptionsOf } from './options.js'

export function evaluatorOf(args: Arguments): Evaluator {
  const task = choiceOf(args, 'task', EVALUATIONS)
  if (task === undefined)
    throw new UsageError(`--task says what is evaluated: ${EVALUATIONS.join(', ')}; --run judges a run`, args.topic)
  for (const [flag, tasks] of Object.entries(TASKS_OF)) {
    if (args.values[flag] !== undefined && !tasks.includes(task))
      throw new UsageError(`--${flag} is for --task ${tasks.join(', ')}, not ${task}`, args.topic)
  }
  for (const flag of ONLY_FOR_RUN)
    if (args.values[flag] !== undefined) throw new UsageError(`--${flag} is for --run, not for --task`, args.topic)
  const common = defined({
    name: stringOf(args, 'name'),
    dimensions: integerOf(args, 'dimensions'),
    quote: stringOf(args, 'quote'),
    split: stringOf(args, 'split'),
    views: listOf(args, 'views'),
  })
  const main = defined({ mainSimilarity: choiceOf(args, 'main-similarity', SIMILARITIES) })
  const choice = defined({ similarityFnNames: choicesOf(args, 'similarity-fn-names', SIMILARITIES), ...main })
  if (task === 'retrieval') return { task, ...common, ...choice, ...retrievalOf(args) }
  const data = stringOf(args, 'data')
  if (data === undefined) throw new UsageError('--data names the file of rows, or a directory', args.topic)
  const table = { data, ...common, ...defined({ columns: listOf(args, 'columns'), subset: stringOf(args, 'subset') }) }
  const seed = defined({ seed: integerOf(args, 'seed', 0) })
  const experiments = defined({ experiments: integerOf(args, 'experiments') })
  const train = defined({ train: stringOf(args, 'train') })
  switch (task) {
    case 'sts':
      return { task, ...choice, ...table, ...defined({ precision: choiceOf(args, 'precision', PRECISIONS) }) }
    case 'triplet':
      return { task, ...choice, ...table, ...defined({ margin: numberOf(args, 'margin') }) }
    case 'bitext':
      return { task, ...table }
    case 'bitext-matrix':
      return { task, ...table, languages: listOf(args, 'languages') ?? [] }
    case 'pair-classification':
      return { task, ...choice, ...table }
    case 'reranking':
      return { task, ...main, ...table, ...defined({ atK: integerOf(args, 'at-k') }) }
    case 'clustering':
      return { task, ...table, ...experiments, ...seed }
    case 'classification':
      return { task, ...table, ...train, ...experiments, ...seed, ...defined({ samplesPerLabel: samplesOf(args) }) }
    case 'zero-shot':
      return { task, ...main, ...table, ...defined({ template: stringOf(args, 'template') }) }
    case 'token-classification':
      return { task, ...table, ...train }
    case 'geometry':
      return { task, ...table, ...seed, ...defined({ pairs: booleanOf(args, 'pairs') || undefined }) }
  }
}

function samplesOf(args: Arguments): number | 'all' | undefined {
  return stringOf(args, 'samples-per-label') === 'all' ? 'all' : integerOf(args, 'samples-per-label')
}

function listOf(args: Arguments, flag: string): string[] | undefined {
  return stringOf(args, flag)
    ?.split(',')
    .map((item) => item.trim())
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
    runFile: stringOf(args, 'write-run'),
  })
}

/** Options of evaluateRun. */
export function runOptionsOf(args: Arguments, signal: AbortSignal): RunOptions {
  for (const flag of Object.keys(args.values))
    if (args.values[flag] !== undefined && !FLAGS_OF_RUN.includes(flag))
      throw new UsageError(`--${flag} and --run exclude each other: a run is judged without a model`, args.topic)
  const qrels = stringOf(args, 'qrels')
  if (qrels === undefined) throw new UsageError('--run needs --qrels FILE, the judgments', args.topic)
  const version = choiceOf(args, 'trec-version', ['9', '10'])
  return {
    run: stringOf(args, 'run')!,
    qrels,
    signal,
    ...defined({
      measures: listOf(args, 'measures'),
      primaryMetric: stringOf(args, 'primary-metric'),
      relevanceLevel: integerOf(args, 'relevance-level', 0),
      complete: booleanOf(args, 'complete') || undefined,
      judgedOnly: booleanOf(args, 'judged-only') || undefined,
      maxDocuments: integerOf(args, 'max-documents'),
      ignoreIdentical: booleanOf(args, 'ignore-identical') || undefined,
      version: version === undefined ? undefined : (Number(version) as 9 | 10),
      name: stringOf(args, 'name'),
      perQuery: booleanOf(args, 'per-query') || undefined,
      queries: stringOf(args, 'queries'),
      views: listOf(args, 'views'),
      quote: stringOf(args, 'quote'),
    }),
    ...detailsOf(args),
  }
}

/** The items are kept where something is made of them. */
function detailsOf(args: Arguments): Pick<EvaluateOptions, 'intervals' | 'items'> {
  const wanted = ['baseline', 'write-baseline', 'write-items', 'html'].some((flag) => args.values[flag] !== undefined)
  return defined({
    intervals: booleanOf(args, 'intervals') || undefined,
    items: wanted || undefined,
  })
}

export function optionsOf(args: Arguments, signal: AbortSignal): EvaluateOptions {
  // The dimensions and the precision are the evaluator's.
  const { signal: _signal, dimensions: _dimensions, precision: _precision, ...encode } = encodeOptionsOf(args, signal)
  return {
    signal,
    encode: encode as EvaluateOptions['encode'],
    ...defined({ batchSize: integerOf(args, 'batch-size') }),
    ...detailsOf(args),
  }
}

/** The options that were given. */
export function defined<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never
}
