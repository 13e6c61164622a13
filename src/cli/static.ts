/** `embedcore static`: trains vectors of words, and looks words up in a file of them. */
import { INVALID_UTF8, STATIC_FORMATS } from '../core/names.js'
import { TOKENIZERS } from '../static/tokenizers.js'
import type { StaticTrainingEvent, StaticTrainingResult, TrainStaticOptions } from '../static/train-types.js'
import {
  booleanOf,
  choiceOf,
  integerOf,
  numberOf,
  parseArguments,
  refuseBoth,
  stringOf,
  type Arguments,
  type Flags,
} from './arguments.js'
import type { CliIO } from './contract.js'
import { didYouMean } from './did-you-mean.js'
import { EXIT, UsageError } from './failures.js'
import { StreamSink } from './output/sink.js'
import { withSession } from './session.js'
import { compactNumber, duration, pairs } from './text.js'

const ACTIONS = ['train', 'nearest', 'analogy'] as const

export const STATIC_COMMAND_FLAGS = {
  out: { type: 'string', short: 'o', value: 'FILE', help: 'train: where the vectors go' },
  format: { type: 'string', value: 'NAME', help: `of the file: ${STATIC_FORMATS.join(', ')}` },
  tokenizer: { type: 'string', value: 'NAME', help: `${TOKENIZERS.join(', ')} (default whitespace)` },
  lowercase: { type: 'boolean', help: 'train: words in lower case' },
  sg: { type: 'boolean', help: 'skip-gram in place of CBOW' },
  hs: { type: 'boolean', help: 'hierarchical softmax in place of negative sampling' },
  'vector-size': { type: 'string', value: 'N', help: 'numbers of a vector (default 100)' },
  window: { type: 'string', value: 'N', help: 'farthest word of the context (default 5)' },
  epochs: { type: 'string', value: 'N', help: 'passes over the corpus (default 5)' },
  negative: { type: 'string', value: 'N', help: 'words drawn against each target (default 5)' },
  'ns-exponent': { type: 'string', value: 'X', help: 'power of counts in these draws (default 0.75)' },
  sample: { type: 'string', value: 'X', help: 'threshold for frequent words (default 1e-3; 0 = all are kept)' },
  alpha: { type: 'string', value: 'X', help: 'learning rate at the beginning (default 0.025)' },
  'min-alpha': { type: 'string', value: 'X', help: 'and at the end (default 1e-4)' },
  'min-count': { type: 'string', value: 'N', help: 'rarer words are left out (default 5)' },
  'max-final-vocab': { type: 'string', value: 'N', help: 'the most frequent words alone' },
  'max-vocab-size': { type: 'string', value: 'N', help: 'words held while the corpus is read' },
  'min-n': { type: 'string', value: 'N', help: 'shortest n-gram of subwords (default 3)' },
  'max-n': { type: 'string', value: 'N', help: 'longest n-gram (default 0: no subwords)' },
  bucket: { type: 'string', value: 'N', help: 'buckets of n-grams (default 2000000)' },
  phrases: { type: 'boolean', help: 'join words that stand together often' },
  'invalid-utf8': { type: 'string', value: 'HOW', help: `${INVALID_UTF8.join(', ')} (default error)` },
  seed: { type: 'string', value: 'N', help: 'default 1' },
  threads: { type: 'string', value: 'N', help: 'without it the physical cores this process may use' },
  deterministic: { type: 'boolean', help: 'the same vectors in every run: one thread' },
  checkpoint: { type: 'string', value: 'FILE', help: 'train: state of the run, also at Ctrl-C' },
  resume: { type: 'boolean', help: 'train: go on from the checkpoint' },
  count: { type: 'string', value: 'N', help: 'nearest, analogy: words to print (default 10)' },
  json: { type: 'boolean', help: 'for machines: lines of JSON' },
  help: { type: 'boolean', short: 'h', help: 'this help' },
} as const satisfies Flags

export async function staticCommand(argv: readonly string[], io: CliIO): Promise<number> {
  const args = parseArguments('static', argv, STATIC_COMMAND_FLAGS)
  const [action, ...rest] = args.positionals
  if (action === undefined) throw new UsageError(`static needs one of ${ACTIONS.join(', ')}`, args.topic)
  if (action === 'train') return train(args, rest, io)
  if (action === 'nearest') return nearest(args, rest, io)
  if (action === 'analogy') return analogy(args, rest, io)
  throw new UsageError(
    `unknown action ${JSON.stringify(action)}${didYouMean(action, ACTIONS) || `; one of ${ACTIONS.join(', ')}`}`,
    args.topic,
  )
}

function trainOptions(args: Arguments, files: readonly string[]): TrainStaticOptions {
  refuseBoth(args, 'hs', 'negative')
  const named = choiceOf(args, 'tokenizer', TOKENIZERS)
  const flags = (name: string): boolean | undefined => booleanOf(args, name) || undefined
  const options = {
    corpus: files,
    tokenizer: named,
    invalidUtf8: choiceOf(args, 'invalid-utf8', INVALID_UTF8),
    sg: flags('sg'),
    hs: flags('hs'),
    vectorSize: integerOf(args, 'vector-size'),
    window: integerOf(args, 'window'),
    epochs: integerOf(args, 'epochs'),
    negative: integerOf(args, 'negative'),
    nsExponent: numberOf(args, 'ns-exponent'),
    sample: numberOf(args, 'sample'),
    alpha: numberOf(args, 'alpha'),
    minAlpha: numberOf(args, 'min-alpha'),
    minCount: integerOf(args, 'min-count'),
    maxFinalVocab: integerOf(args, 'max-final-vocab'),
    maxVocabSize: integerOf(args, 'max-vocab-size'),
    minN: integerOf(args, 'min-n'),
    maxN: integerOf(args, 'max-n', 0),
    bucket: integerOf(args, 'bucket'),
    phrases: flags('phrases'),
    seed: integerOf(args, 'seed', 0),
    threads: integerOf(args, 'threads'),
    deterministic: flags('deterministic'),
    checkpoint: stringOf(args, 'checkpoint'),
    resume: flags('resume'),
    lowercase: flags('lowercase'),
  }
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as unknown as TrainStaticOptions
}

async function train(args: Arguments, files: readonly string[], io: CliIO): Promise<number> {
  if (files.length === 0) throw new UsageError('static train needs a corpus: the paths of text files', args.topic)
  const out = stringOf(args, 'out')
  if (out === undefined) throw new UsageError('static train needs --out FILE', args.topic)
  const format = choiceOf(args, 'format', STATIC_FORMATS)
  const options = trainOptions(args, files)
  const json = booleanOf(args, 'json')
  return withSession(args, io, { bar: true }, async ({ signal, progress }) => {
    const sink = new StreamSink(io.stdout)
    const core = await io.core()
    const run = core.trainStatic({ ...options, signal })
    for await (const event of run) {
      if (json) await sink.write(`${JSON.stringify(event)}\n`)
      else {
        const line = lineOf(event)
        if (line === null) progress.words(event as Extract<StaticTrainingEvent, { type: 'progress' | 'reading' }>)
        else {
          progress.clear()
          io.stderr.write(`${line}\n`)
        }
      }
    }
    progress.clear()
    const result = await run
    try {
      await result.vectors.save(out, { format: format ?? 'word2vec', signal })
    } finally {
      result.vectors.dispose()
    }
    const { vectors: _, ...numbers } = result
    await sink.write(json ? `${JSON.stringify({ type: 'result', out, ...numbers })}\n` : resultText(out, result))
    return EXIT.ok
  })
}

function lineOf(event: StaticTrainingEvent): string | null {
  if (event.type === 'checkpoint') return `epoch ${event.epoch.toFixed(2)}: checkpoint ${event.path}`
  if (event.type !== 'vocabulary') return null
  const { corpusTokens, sentences, words, tokens, minCount, phrases, invalidTokens } = event
  return (
    `${compactNumber(corpusTokens)} tokens in ${compactNumber(sentences)} sentences; ${words} words that come ` +
    `${minCount} times or more, ${compactNumber(tokens)} tokens of theirs` +
    (phrases > 0 ? `; ${phrases} phrases` : '') +
    (invalidTokens > 0 ? `; ${invalidTokens} tokens that are not UTF-8 left out` : '')
  )
}

function resultText(out: string, result: StaticTrainingResult): string {
  return pairs([
    ['vectors', out],
    ['words', String(result.words)],
    ['loss', Number.isFinite(result.loss) ? result.loss.toPrecision(4) : 'none'],
    ['speed', `${compactNumber(result.tokensPerSecond)} words/s`],
    ['time', duration(result.seconds)],
  ])
}

async function nearest(args: Arguments, [file, ...words]: readonly string[], io: CliIO): Promise<number> {
  if (file === undefined || words.length === 0)
    throw new UsageError('static nearest needs a file of vectors and words', args.topic)
  const queries = words.map((word) => ({ positive: [word], negative: [] as string[] }))
  return look(args, file, queries, io)
}

async function analogy(args: Arguments, [file, ...words]: readonly string[], io: CliIO): Promise<number> {
  if (file === undefined || words.length !== 3)
    throw new UsageError('static analogy needs a file of vectors and three words: A is to B as C is to ?', args.topic)
  const [a, b, c] = words as [string, string, string]
  return look(args, file, [{ positive: [b, c], negative: [a] }], io)
}

async function look(
  args: Arguments,
  file: string,
  queries: readonly { positive: string[]; negative: string[] }[],
  io: CliIO,
): Promise<number> {
  const format = choiceOf(args, 'format', STATIC_FORMATS)
  const invalidUtf8 = choiceOf(args, 'invalid-utf8', INVALID_UTF8)
  const count = integerOf(args, 'count') ?? 10
  return withSession(args, io, { bar: false }, async ({ signal }) => {
    const core = await io.core()
    const vectors = await core.loadStatic(file, {
      signal,
      ...(format === undefined ? {} : { format }),
      ...(invalidUtf8 === undefined ? {} : { invalidUtf8 }),
    })
    try {
      const sink = new StreamSink(io.stdout)
      for (const query of queries) {
        const found = await vectors.analogy({ ...query, count, signal })
        await sink.write(
          booleanOf(args, 'json')
            ? `${JSON.stringify({ ...query, found })}\n`
            : found.map(({ word, score }) => `${score.toFixed(4)}\t${word}\n`).join(''),
        )
      }
      return EXIT.ok
    } finally {
      vectors.dispose()
    }
  })
}
