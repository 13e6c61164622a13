/** `embedcore info`: what a model is, from its own files. */
import { booleanOf, parseArguments, stringOf, type Flags } from './arguments.js'
import type { ModelInfo } from '../model/info.js'
import type { CliIO } from './contract.js'
import { EXIT, UsageError } from './failures.js'
import { MODEL_FLAGS } from './options.js'
import { StreamSink } from './output/sink.js'
import { withSession } from './session.js'
import { bytes, compactNumber, pairs } from './text.js'

export const INFO_COMMAND_FLAGS = {
  ...MODEL_FLAGS,
  json: { type: 'boolean', help: 'for machines: one JSON object' },
  help: { type: 'boolean', short: 'h', help: 'this help' },
} as const satisfies Flags

export async function infoCommand(argv: readonly string[], io: CliIO): Promise<number> {
  const args = parseArguments('info', argv, INFO_COMMAND_FLAGS)
  const named = args.positionals[0]
  if (args.positionals.length > 1)
    throw new UsageError(`info is about one model, but ${args.positionals.length} were given`, args.topic)
  if (named !== undefined && stringOf(args, 'model') !== undefined)
    throw new UsageError('the model was given twice, as an argument and with --model', args.topic)
  return withSession(args, io, { bar: true }, async ({ load, progress }) => {
    const { info } = await load(named ?? stringOf(args, 'model'))
    progress.clear()
    await new StreamSink(io.stdout).write(booleanOf(args, 'json') ? `${JSON.stringify(info)}\n` : describe(info))
    return EXIT.ok
  })
}

/** The dtype, and the measurements if `auto` chose it. */
function arithmetic({ dtype, dtypeChoice }: ModelInfo): string {
  if (dtypeChoice === null) return dtype
  const lines = dtypeChoice.measured.map(
    (one) => `${one.dtype}: least cosine ${one.leastCosine.toFixed(6)}, ${Math.round(one.tokensPerSecond)} tokens/s`,
  )
  return [`${dtype} (auto${dtypeChoice.remembered ? ', measured earlier' : ''})`, ...lines].join('\n')
}

function describe(info: ModelInfo): string {
  const transformer = info.layers > 0
  const prompts = Object.entries(info.prompts).map(
    ([name, text]) => `${name}${name === info.defaultPromptName ? ' (default)' : ''}: ${JSON.stringify(text)}`,
  )
  const threads = `${info.threads} ${info.threads === 1 ? 'thread' : 'threads'}`
  const rows: (readonly [string, string])[] = [
    ['name', info.name],
    ['path', info.path],
    ['kind', `${info.kind}, ${info.family}`],
    ['dimensions', String(info.dimension)],
  ]
  if (transformer) {
    const shared = info.kvHeads === info.heads ? '' : ` (${info.kvHeads} key-value heads)`
    rows.push(
      ['layers', `${info.layers} x ${info.hiddenSize}, ${info.heads} heads${shared}`],
      ['attention', typeof info.attention === 'string' ? info.attention : info.attention.join(', ')],
    )
  }
  rows.push(
    ['vocabulary', String(info.vocabSize)],
    ['longest text', Number.isFinite(info.maxTokens) && info.maxTokens > 0 ? `${info.maxTokens} tokens` : 'no limit'],
    ['parameters', compactNumber(info.parameters)],
    ['weights', `${info.fileDtype} in the file, ${bytes(info.weightBytes)} in memory`],
    ['arithmetic', arithmetic(info)],
    ['pooling', info.pooling.join(' + ') || 'none'],
    ['normalised', info.normalize ? 'yes' : 'no'],
    ['similarity', info.similarity],
    ['prompts', prompts.join('\n') || 'none'],
    ['runs on', `${info.device} (${info.isa})${info.device === 'cpu' ? `, ${threads}` : ''}`],
  )
  return pairs(rows)
}
