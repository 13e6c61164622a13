/**
 * `embedcore similarity`: compares all given texts with each other in a table, or the pairs of a file with one score
 * per line.
 */
import { SIMILARITIES, type SimilarityName } from '../core/names.js'
import type { SentenceEmbeddings } from '../core/types.js'
import type { EncodeOptions } from '../model/types.js'
import { booleanOf, choiceOf, integerOf, parseArguments, stringOf, type Arguments, type Flags } from './arguments.js'
import type { CliIO, CoreModel } from './contract.js'
import { EXIT, UsageError } from './failures.js'
import { batchesOf, FILE_FLAGS, openTexts } from './input/source.js'
import { ENCODE_FLAGS, encodeOptionsOf, MODEL_FLAGS } from './options.js'
import { float32ToString } from './output/decimal.js'
import { StreamSink } from './output/sink.js'
import { withSession, type Session } from './session.js'
import { cells, label, padEnd, padStart } from './text.js'

export const SIMILARITY_COMMAND_FLAGS = {
  metric: {
    type: 'string',
    value: 'NAME',
    help: `${SIMILARITIES.join(', ')} (distances come negated: larger is nearer); without it the model's own`,
  },
  ...MODEL_FLAGS,
  ...ENCODE_FLAGS,
  ...FILE_FLAGS,
  columns: {
    type: 'string',
    value: 'A,B',
    help: 'the two columns: names or numbers (csv, tsv; default 1,2), fields (jsonl; default sentence1,sentence2)',
  },
  'batch-size': { type: 'string', value: 'N', help: 'pairs handed over at once (default 64)' },
  json: {
    type: 'boolean',
    help: 'for machines: {"metric","texts","matrix"}, or {"index","a","b","score"} a line for pairs',
  },
  help: { type: 'boolean', short: 'h', help: 'this help' },
} as const satisfies Flags

const LABEL_CELLS = 40

export async function similarityCommand(argv: readonly string[], io: CliIO): Promise<number> {
  const args = parseArguments('similarity', argv, SIMILARITY_COMMAND_FLAGS)
  const texts = args.positionals
  const fileFlag = ['file', 'input-format', 'delimiter', 'quote', 'header', 'columns'].find(
    (flag) => args.values[flag] !== undefined,
  )
  if (texts.length > 0 && fileFlag !== undefined)
    throw new UsageError(
      `texts come either as arguments or from a file: ${JSON.stringify(texts[0])} was given beside --${fileFlag}`,
      args.topic,
    )
  if (texts.length === 0 && stringOf(args, 'file') === undefined)
    throw new UsageError('no texts: give two or more as arguments, or pairs with --file', args.topic)
  if (texts.length === 1) throw new UsageError('one text has nothing to be compared with: give two or more', args.topic)
  return withSession(args, io, { bar: !io.isTTY.stdout }, (session) =>
    texts.length > 0 ? matrix(args, texts, io, session) : pairs(args, io, session),
  )
}

async function encode(model: CoreModel, texts: readonly string[], options: EncodeOptions): Promise<SentenceEmbeddings> {
  return (await model.encode(texts, options)) as SentenceEmbeddings
}

function metricOf(args: Arguments, model: CoreModel): SimilarityName {
  return choiceOf(args, 'metric', SIMILARITIES) ?? model.info.similarity
}

async function matrix(args: Arguments, texts: readonly string[], io: CliIO, session: Session): Promise<number> {
  choiceOf(args, 'metric', SIMILARITIES)
  const options = encodeOptionsOf(args, session.signal)
  const model = await session.load()
  const metric = metricOf(args, model)
  const embeddings = await encode(model, texts, options)
  const { data } = await model.similarity(embeddings, embeddings, { metric })
  const rows = texts.map((_, i) => [...data.subarray(i * texts.length, (i + 1) * texts.length)])
  const out = new StreamSink(io.stdout)
  session.progress.clear()
  if (booleanOf(args, 'json')) {
    const numbers = rows.map((row) => `[${row.map(float32ToString).join(',')}]`).join(',')
    await out.write(
      `{"model":${JSON.stringify(model.info.name)},"metric":"${metric}",` +
        `"texts":${JSON.stringify(texts)},"matrix":[${numbers}]}\n`,
    )
  } else await out.write(table(texts, rows))
  return EXIT.ok
}

function table(texts: readonly string[], rows: readonly (readonly number[])[]): string {
  const labels = texts.map((text, i) => `${i + 1} ${label(text, LABEL_CELLS)}`)
  const numbers = rows.map((row) => row.map((value) => value.toFixed(4)))
  const widths = texts.map((_, j) => Math.max(String(j + 1).length, ...numbers.map((row) => row[j]!.length)))
  const width = Math.max(...labels.map(cells))
  const line = (head: string, fields: readonly string[]) =>
    `${padEnd(head, width)}  ${fields.map((field, j) => padStart(field, widths[j]!)).join('  ')}\n`
  return (
    line(
      '',
      texts.map((_, j) => String(j + 1)),
    ) + numbers.map((row, i) => line(labels[i]!, row)).join('')
  )
}

async function pairs(args: Arguments, io: CliIO, session: Session): Promise<number> {
  choiceOf(args, 'metric', SIMILARITIES)
  const options = encodeOptionsOf(args, session.signal)
  const batchSize = integerOf(args, 'batch-size') ?? 64
  const given = stringOf(args, 'columns')?.split(',')
  if (given !== undefined && (given.length !== 2 || given.some((name) => name === '' || /^0+$/.test(name)))) {
    throw new UsageError(
      `--columns takes two columns, by name or counted from 1, as A,B, ` +
        `but ${JSON.stringify(stringOf(args, 'columns'))} was given`,
      args.topic,
    )
  }
  const source = await openTexts(args, io, session.signal, {
    columns: given ?? ['1', '2'],
    fields: given ?? ['sentence1', 'sentence2'],
  })
  const model = await session.load()
  const metric = metricOf(args, model)
  const out = new StreamSink(io.stdout)
  const json = booleanOf(args, 'json')
  let tokens = 0
  for await (const { rows, start, share } of batchesOf(source, batchSize)) {
    const [a, b] = await Promise.all(
      [0, 1].map((side) =>
        encode(
          model,
          rows.map((row) => row[side]!),
          options,
        ),
      ),
    )
    // One call per batch, of which the diagonal is used: this is cheaper than a native call for every pair.
    const { data } = await model.similarity(a!, b!, { metric })
    const lines = rows.map(([first, second], i) => {
      const score = data[i * (rows.length + 1)]!
      if (json) {
        const [a, b] = [JSON.stringify(first), JSON.stringify(second)]
        return `{"index":${start + i},"a":${a},"b":${b},"score":${float32ToString(score)}}\n`
      }
      return `${padStart(score.toFixed(4), 7)}\t${label(first!, Infinity)}\t${label(second!, Infinity)}\n`
    })
    for (const counts of [a!.tokenCounts, b!.tokenCounts]) for (const count of counts) tokens += count
    session.progress.update({ texts: (start + rows.length) * 2, tokens, share })
    await out.write(lines.join(''))
  }
  return EXIT.ok
}
