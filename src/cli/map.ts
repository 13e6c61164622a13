/** `embedcore map`: texts as points of a plane, on a page or as lines of JSON. */
import { MAP_METHODS } from '../core/names.js'
import type { MapOptions, MapProgress, MapText, TextMap } from '../map/types.js'
import {
  booleanOf,
  choiceOf,
  integerOf,
  numberOf,
  parseArguments,
  stringOf,
  type Arguments,
  type Flags,
} from './arguments.js'
import type { CliIO } from './contract.js'
import { EXIT, UsageError } from './failures.js'
import { FILE_FLAGS, openTexts, textsOfArguments, type TextSource } from './input/source.js'
import { ENCODE_FLAGS, encodeOptionsOf, MODEL_FLAGS } from './options.js'
import { FileSink, StreamSink } from './output/sink.js'
import { withSession, type Session } from './session.js'

export const MAP_COMMAND_FLAGS = {
  out: { type: 'string', short: 'o', value: 'FILE', help: 'the page, whole or not at all' },
  method: { type: 'string', value: 'NAME', help: `${MAP_METHODS.join(' or ')} (default pca)` },
  label: { type: 'string', value: 'COLUMN', help: 'csv, tsv, jsonl: column or field that gives the colour' },
  neighbors: { type: 'string', value: 'N', help: 'umap: neighbours of each text that count (default 15)' },
  'min-dist': { type: 'string', value: 'X', help: 'umap: how near points may come, 0 to 1 (default 0.1)' },
  epochs: { type: 'string', value: 'N', help: 'umap: rounds' },
  seed: { type: 'string', value: 'N', help: 'of the sample and of umap (default 1)' },
  'max-points': { type: 'string', value: 'N', help: 'points at most; of more texts a random sample (default 5000)' },
  title: { type: 'string', value: 'TEXT', help: 'of the page' },
  ...MODEL_FLAGS,
  ...ENCODE_FLAGS,
  ...FILE_FLAGS,
  column: { type: 'string', value: 'COLUMN', help: 'csv, tsv: name, or number counted from 1' },
  field: { type: 'string', value: 'NAME', help: 'jsonl: the field with the text (default text)' },
  'batch-size': { type: 'string', value: 'N', help: 'texts handed over at once (default 256)' },
  json: { type: 'boolean', help: 'for machines: {"index","x","y","label","text"} a line' },
  help: { type: 'boolean', short: 'h', help: 'this help' },
} as const satisfies Flags

export async function mapCommand(argv: readonly string[], io: CliIO): Promise<number> {
  const args = parseArguments('map', argv, MAP_COMMAND_FLAGS)
  const out = stringOf(args, 'out')
  if (out === undefined && !booleanOf(args, 'json'))
    throw new UsageError('map writes a page: say where with --out FILE, or ask for lines with --json', args.topic)
  if (out === undefined && stringOf(args, 'title') !== undefined)
    throw new UsageError('--title is of the page that --out writes', args.topic)
  const texts = args.positionals
  const fileFlag = [...Object.keys(FILE_FLAGS), 'column', 'field', 'label'].find(
    (flag) => args.values[flag] !== undefined,
  )
  if (texts.length > 0 && fileFlag !== undefined)
    throw new UsageError(
      `texts come either as arguments or from a file: ${JSON.stringify(texts[0])} was given beside --${fileFlag}`,
      args.topic,
    )
  if (texts.length === 0 && stringOf(args, 'file') === undefined && io.isTTY.stdin)
    throw new UsageError('no texts: give them as arguments, with --file, or on standard input', args.topic)
  const options = mapOptions(args)
  return withSession(args, io, { bar: out !== undefined || !io.isTTY.stdout }, (session) =>
    run(args, out ?? null, options, io, session),
  )
}

function mapOptions(args: Arguments): MapOptions {
  const method = choiceOf(args, 'method', MAP_METHODS)
  for (const flag of ['neighbors', 'min-dist', 'epochs'])
    if (args.values[flag] !== undefined && method !== 'umap')
      throw new UsageError(`--${flag} is for --method umap`, args.topic)
  const options = {
    method,
    neighbors: integerOf(args, 'neighbors', 2),
    minDist: numberOf(args, 'min-dist'),
    epochs: integerOf(args, 'epochs'),
    seed: integerOf(args, 'seed', 0),
    maxPoints: integerOf(args, 'max-points', 3),
    batchSize: integerOf(args, 'batch-size'),
  }
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as MapOptions
}

/** The column of the texts, and that of the labels behind it. */
function columnsOf(args: Arguments): { columns: readonly string[] | null; fields: readonly string[] } {
  const [column, label] = [stringOf(args, 'column'), stringOf(args, 'label')]
  for (const name of [column, label])
    if (name !== undefined && /^0+$/.test(name)) throw new UsageError('columns count from 1', args.topic)
  const field = stringOf(args, 'field') ?? 'text'
  if (label === undefined) return { columns: column === undefined ? null : [column], fields: [field] }
  return { columns: [column ?? 'text', label], fields: [field, label] }
}

async function run(
  args: Arguments,
  out: string | null,
  options: MapOptions,
  io: CliIO,
  session: Session,
): Promise<number> {
  const { signal, progress } = session
  const { signal: _, ...encode } = encodeOptionsOf(args, signal)
  const source =
    args.positionals.length > 0
      ? textsOfArguments(args.positionals)
      : await openTexts(args, io, signal, columnsOf(args))
  const file = out === null ? null : await FileSink.open(out)
  try {
    const core = await io.core()
    const model = await session.load()
    const map = await core.mapTexts(model, textsOf(source), {
      ...options,
      encode: encode as NonNullable<MapOptions['encode']>,
      signal,
      onProgress: ({ phase, done, total }: MapProgress) => {
        if (phase === 'encode') progress.update({ texts: done, tokens: 0, share: done / total })
      },
    })
    progress.clear()
    if (file !== null) {
      const title = stringOf(args, 'title')
      await file.write(core.mapReport(map, title === undefined ? {} : { title }))
      await file.commit()
    }
    if (booleanOf(args, 'json')) await new StreamSink(io.stdout).write(lines(map))
    else io.stderr.write(`embedcore: ${summary(map)} to ${out}\n`)
    return EXIT.ok
  } catch (error) {
    await file?.discard()
    throw error
  }
}

async function* textsOf(source: TextSource): AsyncGenerator<MapText> {
  for await (const rows of source.groups)
    for (const [text, label] of rows) yield label === undefined ? text! : { text: text!, label }
}

const lines = ({ points }: TextMap): string =>
  points.map(({ index, x, y, label, text }) => `${JSON.stringify({ index, x, y, label, text })}\n`).join('')

const summary = ({ points, total }: TextMap): string =>
  points.length < total ? `a map of ${points.length} of ${total} texts` : `a map of ${total} texts`
