/** All of a run that is known before weights are read: the model's description, the data, the plan. */
import { createHash } from 'node:crypto'
import { readFile, realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { chooseDevice, type ChosenDevice, deviceSettings } from '../core/devices.js'
import { EmbedCoreError } from '../core/errors.js'
import { native } from '../core/native.js'
import { invalidOption } from '../core/options.js'
import type { RawParameter, RawTraining } from '../core/training-binding.js'
import { resolveModel } from '../hub/resolve.js'
import { withBaseModel } from '../model/base-model.js'
import { type ModelDescription, readModelDirectory } from '../model/directory.js'
import { ADAPTER_WEIGHTS } from '../model/peft.js'
import type { TextTokenizer } from '../model/tokenizer.js'
import { planAttention, type PlannedAttention } from './attention.js'
import { type ClsToken, clsPooling, planClsToken, tokenizerWith, withTokenRow } from './cls-token.js'
import { openData, type TrainingData } from './data/open.js'
import { tokenizeColumn } from './data/tokenize-column.js'
import { assemble } from './data/assemble.js'
import { checkBatchSize, checkLossData, defaultLosses, defaultSampler } from './loss-data.js'
import type { CheckedLoss } from './losses.js'
import { adapterOf, withAdapter } from './further.js'
import { planMemory, type TokenCounts } from './memory.js'
import { layerCount, type TrainedParts, trainedParts } from './method.js'
import type { ResolvedTrain } from './options.js'
import { samplerNeeds, type SamplerOptions } from './samplers/options.js'
import { BatchSampler } from './samplers/sampler.js'
import { refuseTextsAlone, staticOptions } from './static-model.js'
import { warmupSteps } from './schedule.js'
import { planStack, type Stack, stackParameters } from './stack.js'
import type { TrainingPlan } from './types.js'

export interface Prepared {
  options: ResolvedTrain
  directory: string
  description: ModelDescription
  device: ChosenDevice
  isa: string
  threads: number
  parameters: readonly RawParameter[]
  parts: TrainedParts
  attention: PlannedAttention
  cls: ClsToken | null
  stack: Stack
  losses: CheckedLoss[]
  data: TrainingData
  sampler: BatchSampler
  tokenizer: TextTokenizer
  /** Tokens a text is cut to; null = none is. */
  maxTokens: number | null
  plan: TrainingPlan
  /** Layers, from the first on, that are recomputed. */
  recompute: number
  /** What the bits of the run depend on, by name: a checkpoint goes on only with the same. */
  identity: Record<string, unknown>
}

/** Rows whose tokens are counted for the plan. */
const COUNTED_ROWS = 64

/** @throws What resolving the model, reading its files and opening the data throw; nothing stays open then. */
export async function prepare(given: ResolvedTrain, training: RawTraining): Promise<Prepared> {
  const { isa, cores, forced } = native().cpu()
  const device = await chooseDevice(given.device, deviceSettings(forced))
  const hub = {
    ...given.hub,
    ...(given.onProgress === null ? {} : { onProgress: given.onProgress }),
    ...(given.signal === null ? {} : { signal: given.signal }),
  }
  const directory = await resolveModel(given.model, hub)
  const description = await withBaseModel(await readModelDirectory(directory), hub)
  await refuseOwnOutput(given.output, description)
  const isStatic = description.kind === 'static'
  const wanted = isStatic ? staticOptions(given) : given
  const parameters = training.parameters(description.weights, description.kind)
  const adapter = await adapterOf(wanted, description, parameters)
  const options = withAdapter(wanted, adapter)
  const attention = await planAttention(options, description, layerCount(parameters))
  const cls = await planClsToken(options, description, attention)
  const stackOf = (hidden: number): Stack =>
    planStack(description, hidden, {
      pooling: options.pooling ?? (cls === null ? null : clsPooling(cls)),
      projection: options.projection,
      normalize: options.normalize,
      trainsOwn: options.method.type !== 'bitfit' && !options.freeze.head,
    })
  const stack = stackOf(parameters[0]!.shape.at(-1)!)
  const own = trainedParts(parameters, options.method, options.freeze, adapter)
  const parts = withTokenRow(own, parameters, cls)
  if (parts.trained + stackParameters(stack).trained === 0)
    throw invalidOption('freeze', 'something that is left to train', 'all of the model')
  const tokenizer = await tokenizerWith(description, cls, options.tmpDir)
  const { data, sampler, losses, order } = await openSources(options)
  try {
    if (isStatic) refuseTextsAlone(losses, data.sources)
    const maxTokens = options.maxTokens ?? tokenizer.maxTokens
    const tokens = await countTokens(data, tokenizer, maxTokens)
    const steps = stepsOf(options, sampler.batchesPerEpoch)
    const ofStack = stackParameters(stack)
    // Single texts are encoded twice (SimCSE).
    const columns = Math.max(...data.sources.map(({ format }) => (format.kind === 'texts' ? 2 : format.columns.length)))
    const { estimate, recompute } = planMemory({
      parameters,
      parts,
      stack,
      options,
      bytes: training.stepBytes({
        directory: description.weights,
        kind: description.kind,
        dtype: options.dtype,
        lora: parts.lora,
        host: device.id === 'cpu',
      }),
      sampler: order.sampler ?? 'random',
      texts: options.batchSize * columns,
      tokens,
      maxTokens,
    })
    const plan: TrainingPlan = {
      model: options.model,
      output: path.resolve(options.output),
      device: device.id,
      dtype: options.dtype,
      method: methodText(options, parts) + (cls === null ? '' : `, token ${cls.text}`),
      losses: losses.map(({ raw }) => ({ name: raw.name, weight: raw.weight })),
      data: data.describe(),
      rows: data.count,
      sampler: order.sampler ?? 'random',
      batchSize: options.batchSize,
      gradientAccumulation: options.gradientAccumulation,
      stepsPerEpoch: steps.perEpoch,
      epochs: options.maxSteps === null ? options.epochs : null,
      steps: steps.all,
      warmupSteps:
        steps.all === null ? (options.warmup >= 1 ? options.warmup : 0) : warmupSteps(options.warmup, steps.all),
      learningRate: options.learningRate,
      schedule: options.schedule,
      parameters: parts.parameters + ofStack.parameters,
      trainedParameters: parts.trained + ofStack.trained,
      dimension: stack.dimension,
      meanTokens: tokens?.mean ?? null,
      memory: estimate,
    }
    return {
      options,
      directory,
      description,
      device,
      isa,
      threads: options.threads ?? cores,
      parameters,
      parts,
      attention,
      cls,
      stack,
      losses,
      data,
      sampler,
      tokenizer,
      maxTokens,
      plan,
      recompute,
      identity: await identityOf(options, description, losses, layerCount(parameters), attention),
    }
  } catch (error) {
    await data.close()
    throw error
  }
}

/** Saving reads the model's own files while it writes. */
async function refuseOwnOutput(output: string, { root, directory, weights }: ModelDescription): Promise<void> {
  const real = (folder: string): Promise<string> => realpath(folder).catch(() => path.resolve(folder))
  const written = await real(output)
  for (const folder of [root, directory, weights])
    if ((await real(folder)) === written)
      throw invalidOption('output', 'another directory than that of the model', output)
}

async function openSources(options: ResolvedTrain): Promise<{
  data: TrainingData
  sampler: BatchSampler
  losses: CheckedLoss[]
  order: SamplerOptions
}> {
  const masksLabels = options.losses?.some(
    ({ raw }) => raw.parameters.kind === 'MultipleNegativesRankingLoss' && raw.parameters.maskLabels,
  )
  const open = (needs: ReturnType<typeof samplerNeeds>) =>
    openData(options.data, {
      onBadRow: options.onBadRow,
      ...(options.prompts === null ? {} : { prompts: options.prompts }),
      needs,
      seed: options.seed,
      ...(options.negatives === null ? {} : { negatives: options.negatives }),
      tmpDir: options.tmpDir,
      signal: options.signal,
      onProgress: options.onProgress,
    })
  // Which facts are needed depends on the sampler, and its default on the data: keys serve the usual one.
  const given = options.sampler.sampler
  const data = await open(samplerNeeds(given ?? 'no-duplicates'))
  try {
    const losses = options.losses ?? defaultLosses(data.sources, options.matryoshka)
    checkLossData(losses, data.sources)
    checkBatchSize(losses, data.sources, options.batchSize)
    const order: SamplerOptions = { ...options.sampler, sampler: given ?? defaultSampler(losses, data.sources) }
    if (masksLabels === true && data.sources.some(({ rows }) => rows === null && given === 'group-by-label'))
      throw invalidOption('sampler', 'another sampler for an iterable', given)
    const endless = options.maxSteps !== null
    const sampler = await BatchSampler.create(data, order, endless ? Infinity : options.epochs)
    return { data, sampler, losses, order }
  } catch (error) {
    await data.close()
    throw error
  }
}

/** Updates of an epoch and of the run. An update never has batches of two epochs. */
function stepsOf(
  { maxSteps, epochs, gradientAccumulation, schedule, warmup }: ResolvedTrain,
  batches: number | null,
): { perEpoch: number | null; all: number | null } {
  const perEpoch = batches === null ? null : Math.ceil(batches / gradientAccumulation)
  const all = maxSteps ?? (perEpoch === null ? null : perEpoch * epochs)
  if (all === null && (schedule !== 'constant' || (warmup > 0 && warmup < 1)))
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected maxSteps for rows of an iterable, whose number is not known (the schedule '${schedule}' and the ` +
        "warm-up depend on it), or schedule: 'constant' with a warmup of whole updates",
    )
  return { perEpoch, all }
}

/** Tokens of the first rows' texts; null for an iterable, which is read only once. */
async function countTokens(
  data: TrainingData,
  tokenizer: TextTokenizer,
  maxTokens: number | null,
): Promise<TokenCounts | null> {
  const source = data.sources.find(({ rows }) => rows !== null)
  if (source === undefined || source.rows === null) return null
  const numbers = Array.from({ length: Math.min(COUNTED_ROWS, source.rows.facts.count) }, (_, i) => i)
  const rows = await source.rows.read(numbers)
  const { columns } = assemble(source, rows, numbers, 0, data.dictionaries)
  const lengths: number[] = []
  for (const [c, column] of columns.entries()) {
    const { offsets } = await tokenizeColumn(
      column,
      source.prompts[c]!,
      { tokenizer, maxTokens, truncate: 'right' },
      (i) => source.rows!.place(i),
    )
    for (let i = 0; i + 1 < offsets.length; i++) lengths.push(offsets[i + 1]! - offsets[i]!)
  }
  if (lengths.length === 0) return null
  const meanOf = (list: readonly number[]): number => list.reduce((sum, value) => sum + value, 0) / list.length
  const mean = meanOf(lengths)
  const deviation = Math.sqrt(meanOf(lengths.map((length) => (length - mean) ** 2)))
  return { mean, deviation, longest: Math.max(...lengths) }
}

function methodText({ method, freeze }: ResolvedTrain, { lora }: TrainedParts): string {
  if (method.type === 'bitfit') return 'BitFit (biases)'
  if (method.type === 'lora')
    return (
      `LoRA of ${lora.length} matrices, rank ${method.rank}, alpha ${method.alpha}` +
      (method.rslora ? ', rsLoRA' : '') +
      (method.from === null ? '' : ', trained further')
    )
  const frozen = [
    ...(freeze.embeddings ? ['embeddings'] : []),
    ...(freeze.layers > 0 ? [`layers 0 to ${freeze.layers - 1}`] : []),
    ...(freeze.head ? ['head'] : []),
  ]
  return frozen.length === 0 ? 'full' : `full, frozen: ${frozen.join(', ')}`
}

/** Everything that the result depends on, but the data, which the state of the sampler names. */
async function identityOf(
  options: ResolvedTrain,
  description: ModelDescription,
  losses: readonly CheckedLoss[],
  layers: number,
  attention: PlannedAttention,
): Promise<Record<string, unknown>> {
  const of = await modelIdentity(description, options.method.type === 'lora' ? options.method.from : null)
  return {
    model: `${of} (${layers} layers)`,
    loss: losses.map(({ raw, guide, teacher }) => ({ ...raw, guide, teacher })),
    // Where an adapter is does not matter; that it is the same is seen by its file.
    method: options.method.type === 'lora' ? { ...options.method, from: undefined } : options.method,
    freeze: options.freeze,
    projection: options.projection,
    normalize: options.normalize,
    pooling: options.pooling,
    attention: attention.mixed ? attention.layers : (options.attention?.[0] ?? null),
    clsToken: options.clsToken,
    epochs: options.maxSteps === null ? options.epochs : null,
    maxSteps: options.maxSteps,
    batchSize: options.batchSize,
    gradientAccumulation: options.gradientAccumulation,
    // Not with one slot, so that checkpoints without the name go on.
    gradientSlots: options.gradientSlots > 1 ? options.gradientSlots : undefined,
    learningRate: options.learningRate,
    schedule: options.schedule,
    warmup: options.warmup,
    weightDecay: options.weightDecay,
    betas: options.betas,
    epsilon: options.epsilon,
    maxGradNorm: options.maxGradNorm,
    averageDecay: options.averageDecay,
    dtype: options.dtype,
    dropout: options.dropout,
    seed: options.seed,
    prompts: options.prompts,
    maxTokens: options.maxTokens,
    truncate: options.truncate,
    negatives: options.negatives,
  }
}

/** Sizes of the weight files: another model is noticed, a moved one is not. */
async function modelIdentity({ weights, modules }: ModelDescription, adapter: string | null): Promise<string> {
  const hash = createHash('sha256')
  const folders = [weights, ...modules.flatMap((module) => ('directory' in module ? [module.directory] : []))]
  for (const folder of folders)
    for (const name of ['config.json', 'model.safetensors', 'model.safetensors.index.json'])
      hash.update(
        `${name} ${await stat(path.join(folder, name)).then(
          ({ size }) => size,
          () => -1,
        )}\n`,
      )
  if (adapter !== null) hash.update(await readFile(path.join(adapter, ADAPTER_WEIGHTS)))
  return hash.digest('hex').slice(0, 16)
}
