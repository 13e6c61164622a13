/** `embedcore encode`: encodes texts from arguments, a file or standard input as a stream, in bounded memory. */
import { readFile } from 'node:fs/promises'
import { OUTPUTS, type OutputMode, type Precision } from '../core/names.js'
import type { SentenceEmbeddings } from '../core/types.js'
import type { EncodeOptions } from '../model/types.js'
import { booleanOf, choiceOf, integerOf, parseArguments, stringOf, type Arguments, type Flags } from './arguments.js'
import type { CliIO, CoreModel } from './contract.js'
import { EXIT, InputError, systemReason, UsageError } from './failures.js'
import { batchesOf, FILE_FLAGS, openTexts, textsOfArguments, type Batch, type TextSource } from './input/source.js'
import { ENCODE_FLAGS, encodeOptionsOf, MODEL_FLAGS, PRECISION_FLAG } from './options.js'
import { isTokenOutput, type Results } from './output/jsonl.js'
import { parseFloat32Npy } from './output/npy.js'
import { FORMATS, openWriter, type Format } from './output/writer.js'
import { withSession, type Session } from './session.js'
import { compactNumber } from './text.js'
import { packageVersion } from '../core/version.js'

export const ENCODE_COMMAND_FLAGS = {
  ...MODEL_FLAGS,
  ...ENCODE_FLAGS,
  output: { type: 'string', value: 'WHAT', help: 'sentence (one vector a text) or token (one a token)' },
  ...PRECISION_FLAG,
  ranges: {
    type: 'string',
    value: 'FILE',
    help: 'int8, uint8: .npy [2, dimensions] of minima and maxima to quantise by',
  },
  calibration: {
    type: 'string',
    value: 'N',
    help: 'int8, uint8 without --ranges: take them from the first N texts (default 4096)',
  },
  ...FILE_FLAGS,
  column: { type: 'string', value: 'COLUMN', help: 'csv, tsv: name, or number counted from 1' },
  field: { type: 'string', value: 'NAME', help: 'jsonl: the field with the text (default text)' },
  format: { type: 'string', value: 'FORMAT', help: `${FORMATS.join(', ')} (default jsonl)` },
  out: {
    type: 'string',
    short: 'o',
    value: 'FILE',
    help: 'write here, whole or not at all; without it to standard output',
  },
  'batch-size': { type: 'string', value: 'N', help: 'texts handed over at once (default 256)' },
  json: { type: 'boolean', help: 'for machines: summary and errors as one JSON object on the last line of stderr' },
  help: { type: 'boolean', short: 'h', help: 'this help' },
} as const satisfies Flags

/** Batches given to the model before the first of them is written: the model never waits for the writer. */
const IN_FLIGHT = 2

interface Plan {
  texts: readonly string[]
  format: Format
  out: string | null
  output: OutputMode
  batchSize: number
}

export async function encodeCommand(argv: readonly string[], io: CliIO): Promise<number> {
  const args = parseArguments('encode', argv, ENCODE_COMMAND_FLAGS)
  const plan = planOf(args, io)
  return withSession(args, io, { bar: plan.out !== null || !io.isTTY.stdout }, (session) =>
    run(args, plan, io, session),
  )
}

/** Everything that can be refused before a model is loaded. */
function planOf(args: Arguments, io: CliIO): Plan {
  const topic = args.topic
  const texts = args.positionals.length === 1 && args.positionals[0] === '-' ? [] : args.positionals
  const fileFlag = [...Object.keys(FILE_FLAGS), 'column', 'field'].find((flag) => args.values[flag] !== undefined)
  if (texts.length > 0 && fileFlag !== undefined)
    throw new UsageError(
      `texts come either as arguments or from a file: ${JSON.stringify(texts[0])} was given beside --${fileFlag}`,
      topic,
    )
  if (args.positionals.length === 0 && stringOf(args, 'file') === undefined && io.isTTY.stdin) {
    throw new UsageError('no texts: give them as arguments, with --file, or on standard input', topic)
  }
  const format = choiceOf(args, 'format', FORMATS) ?? 'jsonl'
  const output = choiceOf(args, 'output', OUTPUTS) ?? 'sentence'
  const out = stringOf(args, 'out') ?? null
  const precision = stringOf(args, 'precision') ?? 'float32'
  if (format !== 'jsonl' && out === null && io.isTTY.stdout)
    throw new UsageError(
      `${format} is binary and standard output is a terminal; write it to a file with --out FILE`,
      topic,
    )
  if (format === 'f32' && precision !== 'float32')
    throw new UsageError(`--format f32 holds float32, not ${precision}; use --format npy`, topic)
  if (output === 'token') {
    if (precision !== 'float32') throw new UsageError(`--output token gives float32, not ${precision}`, topic)
    if (format === 'f32')
      throw new UsageError('--output token needs a place for the tokens of each text; use --format jsonl or npy', topic)
    if (format === 'npy' && out === null)
      throw new UsageError('--output token as npy is two files, vectors and counts; say where with --out FILE', topic)
  }
  for (const flag of ['ranges', 'calibration']) {
    if (args.values[flag] !== undefined && precision !== 'int8' && precision !== 'uint8')
      throw new UsageError(`--${flag} is for --precision int8 and uint8, not ${precision}`, topic)
  }
  if (args.values.ranges !== undefined && args.values.calibration !== undefined)
    throw new UsageError('--ranges and --calibration exclude each other', topic)
  return { texts, format, out, output, batchSize: integerOf(args, 'batch-size') ?? 256 }
}

async function run(args: Arguments, plan: Plan, io: CliIO, session: Session): Promise<number> {
  const options: EncodeOptions = { ...encodeOptionsOf(args, session.signal), output: plan.output }
  const precision = options.precision ?? 'float32'
  const calibrates = (precision === 'int8' || precision === 'uint8') && args.values.ranges === undefined
  const firstSize = calibrates ? (integerOf(args, 'calibration') ?? 4096) : plan.batchSize
  if (stringOf(args, 'ranges') !== undefined) options.ranges = await readRanges(stringOf(args, 'ranges')!)
  const source =
    plan.texts.length > 0 ? textsOfArguments(plan.texts) : await openTexts(args, io, session.signal, columnsOf(args))
  const writer = await openWriter({
    format: plan.format,
    out: plan.out,
    stdout: io.stdout,
    precision,
    output: plan.output,
  })
  try {
    const begin = performance.now()
    const model = await session.load()
    const loaded = performance.now()
    const totals = { texts: 0, tokens: 0, truncated: 0, omittedTokens: 0, unknownTokens: 0 }
    for await (const results of encodeBatches(
      model,
      batchesOf(source, plan.batchSize, firstSize),
      options,
      calibrates,
      progressOf(session, source),
    )) {
      await writer.write(results)
      count(totals, results)
    }
    if (totals.texts === 0 && plan.format !== 'jsonl') await writer.write(await nothing(model, options))
    const seconds = (performance.now() - loaded) / 1000
    await writer.finish(
      {
        model: model.info.name,
        ...given(args),
        texts: totals.texts,
        tokens: totals.tokens,
        writer: `embedcore ${packageVersion()}`,
      },
      options.ranges ?? null,
    )
    session.progress.clear()
    report(args, io, plan, {
      ...totals,
      seconds: round(seconds),
      loadSeconds: round((loaded - begin) / 1000),
      textsPerSecond: Math.round(totals.texts / seconds),
      tokensPerSecond: Math.round(totals.tokens / seconds),
      shape: totals.texts === 0 && plan.format === 'jsonl' ? null : writer.shape,
      precision,
      output: plan.output,
      format: plan.format,
      out: plan.out,
      model: model.info.name,
    })
    return EXIT.ok
  } catch (error) {
    await writer.discard()
    throw error
  }
}

const round = (seconds: number) => Math.round(seconds * 1e6) / 1e6

function columnsOf(args: Arguments): { columns: readonly string[] | null; fields: readonly string[] } {
  const column = stringOf(args, 'column')
  if (column !== undefined && /^0+$/.test(column)) throw new UsageError('--column counts from 1', args.topic)
  return { columns: column === undefined ? null : [column], fields: [stringOf(args, 'field') ?? 'text'] }
}

async function readRanges(path: string): Promise<Float32Array> {
  try {
    const { data, shape } = parseFloat32Npy(await readFile(path))
    if (shape[0] !== 2) throw new Error(`it has ${shape[0]} rows, not two (minima, maxima)`)
    return data
  } catch (error) {
    throw new InputError(`cannot take ranges from ${path}: ${systemReason(error)}`, { cause: error })
  }
}

/**
 * Results in the order of the input, a few batches in flight. With `calibrates`, the first batch determines the ranges
 * of all.
 */
async function* encodeBatches(
  model: CoreModel,
  batches: AsyncIterable<Batch>,
  options: EncodeOptions,
  calibrates: boolean,
  progress: BatchProgress,
): AsyncGenerator<Results> {
  const flying: Promise<Results>[] = []
  const begin = ({ rows, start, share }: Batch): Promise<Results> => {
    const texts = rows.map((row) => row[0]!)
    const follow = progress(share)
    const results = model.encode(texts, { ...options, onProgress: follow.onProgress }).then((embeddings) => {
      follow.done(texts.length, embeddings)
      return { start, texts, embeddings }
    })
    // It is awaited in its turn; until then a failure must not count as an unhandled rejection.
    results.catch(() => undefined)
    return results
  }
  const iterator = batches[Symbol.asyncIterator]()
  const following = () => {
    const next = iterator.next()
    next.catch(() => undefined)
    return next
  }
  let next: ReturnType<typeof following> | null = following()
  while (next !== null || flying.length > 0) {
    const oldest = flying[0]
    if (next === null || flying.length >= IN_FLIGHT) {
      yield await flying.shift()!
      continue
    }
    // Whichever comes first: a batch to feed the model with, or a result to write (input may be a pipe that pauses).
    const arrived: IteratorResult<Batch> | null =
      oldest === undefined ? await next : await Promise.race([next, oldest.then(() => null)])
    if (arrived === null) {
      yield await flying.shift()!
    } else if (arrived.done === true) {
      next = null
    } else {
      flying.push(begin(arrived.value))
      next = following()
      if (calibrates && options.ranges === undefined)
        options.ranges = ((await flying[0]!).embeddings as SentenceEmbeddings).ranges
    }
  }
}

type BatchProgress = (share: number | null) => {
  onProgress: NonNullable<EncodeOptions['onProgress']>
  done(texts: number, embeddings: Results['embeddings']): void
}

function progressOf({ progress }: Session, source: TextSource): BatchProgress {
  const finished = { texts: 0, tokens: 0, share: null as number | null }
  const underway = new Set<{ texts: number; tokens: number }>()
  const show = () => {
    let { texts, tokens } = finished
    for (const part of underway) {
      texts += part.texts
      tokens += part.tokens
    }
    progress.update({
      texts,
      tokens,
      share: source.count === null ? finished.share : Math.min(1, texts / source.count),
    })
  }
  return (share) => {
    const part = { texts: 0, tokens: 0 }
    underway.add(part)
    return {
      onProgress: ({ done, tokens }) => {
        part.texts = done
        part.tokens = tokens
        show()
      },
      done: (texts, { tokenCounts }) => {
        underway.delete(part)
        finished.texts += texts
        finished.tokens += tokenCounts.reduce((sum, tokens) => sum + tokens, 0)
        finished.share = share
        show()
      },
    }
  }
}

function count(
  totals: { texts: number; tokens: number; truncated: number; omittedTokens: number; unknownTokens: number },
  { texts, embeddings }: Results,
): void {
  totals.texts += texts.length
  for (const tokens of embeddings.tokenCounts) totals.tokens += tokens
  for (const unknown of embeddings.unknownTokens) totals.unknownTokens += unknown
  for (const omitted of embeddings.omittedTokens) {
    totals.omittedTokens += omitted
    if (omitted > 0) totals.truncated++
  }
}

/** The result of no texts: a matrix without rows, but with the right number of columns. */
async function nothing(model: CoreModel, options: EncodeOptions): Promise<Results> {
  const embeddings = await model.encode([], { ...options, precision: 'float32', ranges: undefined })
  if (isTokenOutput(embeddings)) return { start: 0, texts: [], embeddings }
  const columns =
    options.precision === 'binary' || options.precision === 'ubinary'
      ? Math.ceil(embeddings.shape[1] / 8)
      : embeddings.shape[1]
  const { tokenCounts, omittedTokens, unknownTokens } = embeddings
  return {
    start: 0,
    texts: [],
    embeddings: { data: new Float32Array(0), shape: [0, columns], tokenCounts, omittedTokens, unknownTokens },
  }
}

/** The encoding flags as given, for the JSON file of f32. */
function given(args: Arguments): object {
  const flags = Object.keys(ENCODE_FLAGS).filter((flag) => args.values[flag] !== undefined)
  return { options: Object.fromEntries(flags.map((flag) => [flag, args.values[flag]])) }
}

interface Summary {
  texts: number
  tokens: number
  truncated: number
  omittedTokens: number
  unknownTokens: number
  seconds: number
  loadSeconds: number
  textsPerSecond: number
  tokensPerSecond: number
  shape: readonly [number, number] | null
  precision: Precision
  output: OutputMode
  format: Format
  out: string | null
  model: string
}

function report(args: Arguments, io: CliIO, plan: Plan, summary: Summary): void {
  if (booleanOf(args, 'json')) {
    io.stderr.write(`${JSON.stringify({ summary })}\n`)
    return
  }
  if (summary.truncated > 0) {
    const texts = summary.truncated === 1 ? '1 text was' : `${summary.truncated} texts were`
    io.stderr.write(
      `embedcore: ${texts} too long and cut, ${summary.omittedTokens} tokens in all ` +
        '(--truncate none refuses such texts)\n',
    )
  }
  if (plan.out !== null) {
    const matrix = summary.shape === null ? '' : ` (${summary.shape[0]} x ${summary.shape[1]})`
    io.stderr.write(
      `embedcore: ${summary.texts} texts to ${plan.out}${matrix} in ${summary.seconds.toFixed(2)} s, ` +
        `${compactNumber(summary.tokensPerSecond)} tokens/s\n`,
    )
  }
}
