/** `embedcore train`: a run from a config file and flags, with a progress line, or its plan alone. */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { SAMPLERS } from '../train/samplers/options.js'
import { SCHEDULES } from '../train/schedule.js'
import { LOSSES } from '../train/loss-types.js'
import type { EvaluationEvent, TrainingEvent, TrainingPlan, TrainOptions, TrainResult } from '../train/types.js'
import {
  booleanOf,
  choiceOf,
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
import { EXIT, InputError, systemReason, UsageError } from './failures.js'
import { MODEL_FLAGS } from './options.js'
import { StreamSink } from './output/sink.js'
import { withSession, type Session } from './session.js'
import { bytes, compactNumber, duration, pairs } from './text.js'

const METHODS = ['full', 'lora', 'bitfit'] as const
const DTYPES = ['float32', 'bfloat16'] as const

export const TRAIN_COMMAND_FLAGS = {
  config: { type: 'string', short: 'c', value: 'FILE', help: 'options as .json, or .mjs with a default export' },
  data: { type: 'string', short: 'd', value: 'LIST', help: 'comma list of files of one kind of rows' },
  output: { type: 'string', short: 'o', value: 'DIR', help: 'gets the model, checkpoints, log.jsonl and report.html' },
  ...MODEL_FLAGS,
  dtype: { type: 'string', value: 'NAME', help: `matrix products: ${DTYPES.join(', ')} (default float32)` },
  loss: { type: 'string', value: 'NAME', help: 'as in sentence-transformers; without it by the columns of the rows' },
  method: { type: 'string', value: 'NAME', help: `what is trained: ${METHODS.join(', ')} (default full)` },
  rank: { type: 'string', value: 'N', help: 'lora: default 8' },
  alpha: { type: 'string', value: 'X', help: 'lora: default 8' },
  targets: { type: 'string', value: 'LIST', help: 'lora: ends of names of matrices, or all-linear' },
  adapter: { type: 'string', value: 'DIR', help: 'lora: an adapter of the model, which is trained further' },
  merge: { type: 'boolean', help: 'lora: save a whole model in place of an adapter' },
  projection: { type: 'string', value: 'N', help: 'a new Dense module of N dimensions' },
  matryoshka: { type: 'string', value: 'LIST', help: 'dimensions, such as 256,128,64' },
  'batch-size': { type: 'string', value: 'N', help: 'rows of a step (default 32)' },
  epochs: { type: 'string', value: 'N', help: 'passes over the data (default 1)' },
  'max-steps': { type: 'string', value: 'N', help: 'updates, in place of --epochs' },
  'gradient-accumulation': { type: 'string', value: 'N', help: 'batches of an update (default 1)' },
  'gradient-cache': { type: 'boolean', help: 'large batches in little memory' },
  recompute: { type: 'boolean', help: 'less memory for about a third more time' },
  'memory-limit': { type: 'string', value: 'SIZE', help: 'such as 4GB: recomputes as few layers as this needs' },
  'learning-rate': { type: 'string', value: 'X', help: 'default 5e-5; lora 2e-4; static models 1e-2' },
  schedule: { type: 'string', value: 'NAME', help: `${SCHEDULES.join(', ')} (default linear)` },
  warmup: { type: 'string', value: 'X', help: 'share of the run, or a number of updates (default 0.1)' },
  sampler: { type: 'string', value: 'NAME', help: SAMPLERS.join(', ') },
  'max-tokens': { type: 'string', value: 'N', help: 'tokens a text is cut to' },
  seed: { type: 'string', value: 'N', help: 'default 42' },
  'save-steps': { type: 'string', value: 'N', help: 'updates between checkpoints (default 500; 0 = none)' },
  'eval-steps': { type: 'string', value: 'N', help: 'updates between evaluations (the evaluator is in the config)' },
  resume: { type: 'boolean', help: 'go on from the newest checkpoint in the output' },
  overwrite: { type: 'boolean', help: 'replace a run in the output' },
  'dry-run': { type: 'boolean', help: 'print the plan: parameters, steps, memory; write nothing' },
  json: { type: 'boolean', help: 'for machines: events and the result as lines of JSON' },
  help: { type: 'boolean', short: 'h', help: 'this help' },
} as const satisfies Flags

export async function trainCommand(argv: readonly string[], io: CliIO): Promise<number> {
  const args = parseArguments('train', argv, TRAIN_COMMAND_FLAGS)
  if (args.positionals.length > 0)
    throw new UsageError(
      `train takes no arguments but flags, and ${JSON.stringify(args.positionals[0])} was given`,
      args.topic,
    )
  const flags = flagOptions(args)
  return withSession(args, io, { bar: true }, async ({ signal, progress }) => {
    const config = await readConfig(stringOf(args, 'config'))
    const options = merged(config, flags, args)
    const given = {
      ...options,
      signal,
      onProgress: (update: object) => {
        if ('rows' in update) progress.reading(update as Parameters<typeof progress.reading>[0])
        else progress.download(update as Parameters<typeof progress.download>[0])
      },
    } as TrainOptions
    const sink = new StreamSink(io.stdout)
    const core = await io.core()
    if (booleanOf(args, 'dry-run')) {
      const plan = await core.planTraining(given)
      progress.clear()
      await sink.write(booleanOf(args, 'json') ? `${JSON.stringify(plan)}\n` : planText(plan))
      return EXIT.ok
    }
    const run = core.train(given)
    const json = booleanOf(args, 'json')
    const show = json
      ? async (event: TrainingEvent) => sink.write(`${JSON.stringify(event)}\n`)
      : shower(progress, (line) => io.stderr.write(`${line}\n`))
    for await (const event of run) await show(event)
    progress.clear()
    const result = await run
    await sink.write(json ? `${JSON.stringify({ type: 'result', ...result })}\n` : resultText(result))
    return EXIT.ok
  })
}

/** Options that flags give; those of LoRA stand together. */
function flagOptions(args: Arguments): Record<string, unknown> {
  refuseBoth(args, 'epochs', 'max-steps')
  refuseBoth(args, 'resume', 'overwrite')
  const method = choiceOf(args, 'method', METHODS)
  const lora = {
    rank: integerOf(args, 'rank'),
    alpha: numberOf(args, 'alpha'),
    targets: targetsOf(stringOf(args, 'targets')),
    from: stringOf(args, 'adapter'),
  }
  const ofLora = Object.entries(lora).filter(([, value]) => value !== undefined)
  if (ofLora.length > 0 && method !== 'lora')
    throw new UsageError(`--${ofLora[0]![0].replace('from', 'adapter')} is for --method lora`, args.topic)
  const data = stringOf(args, 'data')?.split(',')
  const options = {
    model: stringOf(args, 'model'),
    data: data === undefined ? undefined : data.length === 1 ? data[0] : { path: data },
    output: stringOf(args, 'output'),
    revision: stringOf(args, 'revision'),
    cacheDir: stringOf(args, 'cache-dir'),
    offline: booleanOf(args, 'offline') || undefined,
    device: stringOf(args, 'device'),
    dtype: choiceOf(args, 'dtype', DTYPES),
    threads: integerOf(args, 'threads'),
    loss: choiceOf(args, 'loss', LOSSES),
    method: ofLora.length > 0 ? { type: 'lora', ...Object.fromEntries(ofLora) } : method,
    merge: booleanOf(args, 'merge') || undefined,
    projection: integerOf(args, 'projection'),
    matryoshka: integersOf(args, 'matryoshka'),
    batchSize: integerOf(args, 'batch-size'),
    epochs: integerOf(args, 'epochs'),
    maxSteps: integerOf(args, 'max-steps'),
    gradientAccumulation: integerOf(args, 'gradient-accumulation'),
    gradientCache: booleanOf(args, 'gradient-cache') || undefined,
    recompute: booleanOf(args, 'recompute') || undefined,
    memoryLimit: stringOf(args, 'memory-limit'),
    learningRate: numberOf(args, 'learning-rate'),
    schedule: choiceOf(args, 'schedule', SCHEDULES),
    warmup: numberOf(args, 'warmup'),
    sampler: choiceOf(args, 'sampler', SAMPLERS),
    maxTokens: integerOf(args, 'max-tokens'),
    seed: integerOf(args, 'seed', 0),
    saveSteps: integerOf(args, 'save-steps', 0),
    evalSteps: integerOf(args, 'eval-steps'),
    resume: booleanOf(args, 'resume') || undefined,
    overwrite: booleanOf(args, 'overwrite') || undefined,
  }
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

function targetsOf(given: string | undefined): string | string[] | undefined {
  return given === undefined || given === 'all-linear' ? given : given.split(',')
}

async function readConfig(file: string | undefined): Promise<Record<string, unknown>> {
  if (file === undefined) return {}
  const isModule = /\.m?js$/.test(file)
  if (!isModule && !file.endsWith('.json'))
    throw new UsageError(`--config is a .json or .mjs file, but ${JSON.stringify(file)} was given`, 'train')
  let config: unknown
  try {
    config = isModule
      ? ((await import(pathToFileURL(path.resolve(file)).href)) as { default?: unknown }).default
      : (JSON.parse(await readFile(file, 'utf8')) as unknown)
  } catch (error) {
    throw new InputError(`cannot read the config ${file}: ${systemReason(error)}`)
  }
  if (typeof config === 'function') config = await (config as () => unknown)()
  if (typeof config !== 'object' || config === null || Array.isArray(config))
    throw new InputError(`${file} has no object of options${isModule ? ' as its default export' : ''}`)
  return config as Record<string, unknown>
}

/** `epochs` and `maxSteps` exclude each other, so a flag of the one removes the other from the config. */
function merged(
  config: Record<string, unknown>,
  flags: Record<string, unknown>,
  args: Arguments,
): Record<string, unknown> {
  const options = { ...config, ...flags }
  if (flags['epochs'] !== undefined) delete options['maxSteps']
  if (flags['maxSteps'] !== undefined) delete options['epochs']
  for (const name of ['model', 'data', 'output'])
    if (options[name] === undefined)
      throw new UsageError(`--${name} is absent, and so is ${name} in --config`, args.topic)
  return options
}

/** Draws steps as one line, and writes a line for each evaluation and checkpoint. */
function shower(progress: Session['progress'], print: (line: string) => void): (event: TrainingEvent) => Promise<void> {
  let steps: number | null = null
  let doneBefore = 0
  const line = (text: string): void => {
    progress.clear()
    print(text)
  }
  return async (event) => {
    switch (event.type) {
      case 'begin':
        steps = event.plan.steps
        doneBefore = event.step
        return line(beginText(event.plan, event.step))
      case 'step':
        return progress.training({ ...event, steps, doneBefore })
      case 'evaluation':
        return line(evaluationText(event))
      case 'checkpoint':
        return line(`step ${event.step}: checkpoint ${event.directory}`)
      case 'saved':
        return line(`step ${event.step}: saved ${event.directory}`)
    }
  }
}

function beginText({ data, method, losses, trainedParameters, steps }: TrainingPlan, step: number): string {
  const from = step > 0 ? `, from step ${step} on` : ''
  return (
    `${data.join('; ')}\n${method}, ${losses.map(({ name }) => name).join(' + ')}, ` +
    `${compactNumber(trainedParameters)} parameters, ${steps ?? '?'} steps${from}`
  )
}

function evaluationText({ step, score, metrics, best }: EvaluationEvent): string {
  const name = Object.entries(metrics).find(([, value]) => value === score)?.[0] ?? 'score'
  return `step ${step}: ${name} ${score.toFixed(4)}${best ? ' (best)' : ''}`
}

export function planText(plan: TrainingPlan): string {
  const { memory } = plan
  const unknown = 'not known'
  return pairs([
    ['model', plan.model],
    ['data', plan.data.join('\n')],
    ['method', plan.method],
    ['parameters', `${compactNumber(plan.parameters)}, ${compactNumber(plan.trainedParameters)} of them trained`],
    ['dimensions', String(plan.dimension)],
    ['loss', plan.losses.map(({ name, weight }) => (weight === 1 ? name : `${weight} * ${name}`)).join(' + ')],
    ['batches', `${plan.batchSize} rows, ${plan.sampler}; ${plan.gradientAccumulation} an update`],
    ['tokens a text', plan.meanTokens === null ? unknown : plan.meanTokens.toFixed(1)],
    ['steps', `${plan.steps ?? unknown}${plan.stepsPerEpoch === null ? '' : ` (${plan.stepsPerEpoch} an epoch)`}`],
    ['learning rate', `${plan.learningRate}, ${plan.schedule}, warm-up ${plan.warmupSteps}`],
    ['arithmetic', `${plan.dtype} on ${plan.device}`],
    [
      'memory, about',
      `${bytes(memory.weights)} for weights` +
        (memory.activations === null ? '' : `, ${bytes(memory.activations)} for a step`) +
        (memory.limit === null ? '' : ` (limit ${bytes(memory.limit)})`),
    ],
    ...(memory.recomputedLayers === 0
      ? []
      : [['recomputed', `${memory.recomputedLayers} of ${memory.trainedLayers} layers`] as [string, string]]),
    ['output', plan.output],
  ])
}

function resultText({ output, steps, loss, metrics, best, stopped, seconds, badRows }: TrainResult): string {
  return pairs([
    ['output', output],
    ['steps', `${steps}${stopped === 'early' ? ' (stopped early)' : ''}`],
    ['loss, mean', Number.isFinite(loss) ? loss.toPrecision(4) : 'none'],
    ...(best === null ? [] : [['best', `${best.score.toFixed(4)} at step ${best.step}`] as [string, string]]),
    ...Object.entries(metrics ?? {}).map(([name, value]): [string, string] => [name, value.toFixed(4)]),
    ...(badRows === 0 ? [] : [['rows left out', String(badRows)] as [string, string]]),
    ['time', duration(seconds)],
  ])
}
