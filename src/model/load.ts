/** load(): from a path or hub id to a model in memory. */
import path from 'node:path'
import type { RawLoadOptions, RawModel } from '../core/binding.js'
import { type ChosenDevice, chooseDevice, deviceSettings, fastDtype } from '../core/devices.js'
import { EmbedCoreError, toEmbedCoreError, withOwnStack } from '../core/errors.js'
import { native } from '../core/native.js'
import { invalidOption } from '../core/options.js'
import type { Dtype } from '../core/names.js'
import { reason } from '../core/show.js'
import type { DtypeChoice } from './info.js'
import { packageVersion } from '../core/version.js'
import { refuseOtherStack } from './adapter-stack.js'
import { adapterSource, withBaseModel } from './base-model.js'
import { type ModelDescription, readModelDirectory } from './directory.js'
import { chooseDtype } from './dtype-choice.js'
import { choiceKey } from './dtype-memory.js'
import { type LoadOptions, type ResolvedLoad, resolveLoadOptions } from './load-options.js'
import { resolveModel } from '../hub/resolve.js'
import { createModel, measurable, type Model, type ModelParts } from './model.js'
import { OWN_LAYOUT_FILE } from './own-layout.js'
import { abortError } from '../core/abort.js'
import { TextTokenizer } from './tokenizer.js'

/** More tokens than the texts of a measurement have. */
const MEASURING_QUEUE_TOKENS = 1 << 20

export async function loadModel(pathOrHubId: string, options?: LoadOptions): Promise<Model> {
  const given = resolveLoadOptions(options)
  try {
    return await load(pathOrHubId, given)
  } catch (error) {
    throw isSystemError(error) ? toEmbedCoreError(error, 'ERR_EMBEDCORE_INVALID_FILE') : toEmbedCoreError(error)
  }
}

/** Whether the file system refused something. */
function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error
}

async function load(pathOrHubId: string, given: ResolvedLoad): Promise<Model> {
  const addon = native() // First: without it nothing below is of use, and its error says what to do.
  // What the environment says at the time of the call holds; the program may change it while files are read.
  const { isa, cores, forced } = addon.cpu()
  const settings = deviceSettings(forced)
  // A device that the caller names is refused before anything is downloaded.
  const named = given.device === 'auto' ? null : await chooseDevice(given.device, settings)
  const hub = {
    ...(given.cacheDir === null ? {} : { cacheDir: given.cacheDir }),
    ...(given.token === null ? {} : { token: given.token }),
    ...(given.offline === null ? {} : { offline: given.offline }),
    ...(given.onProgress === null ? {} : { onProgress: guarded(given.onProgress) }),
    ...(given.signal === null ? {} : { signal: given.signal }),
  }
  const directory = await resolveModel(pathOrHubId, { ...hub, revision: given.revision })
  const description = await withAdapter(await readModelDirectory(directory), given.adapter, hub)
  refuseForStatic(description, given.dtype)
  const device = named ?? (await chooseDevice(description.kind === 'static' ? 'cpu' : 'auto', settings))
  const opening: Opening = {
    name: pathOrHubId,
    given,
    description,
    device,
    isa,
    threads: given.threads ?? cores,
    tokenizer: TextTokenizer.load(description.directory, {
      kind: description.kind,
      lowerCase: description.lowerCase,
      maxTokens: given.maxTokens ?? description.maxTokens,
    }),
  }
  opening.tokenizer.catch(() => undefined) // Its error is handled in `open`, which may never be reached.
  if (given.dtype !== 'auto') return open(opening, given.dtype, null)
  const unmeasured: DtypeChoice = { measured: [], remembered: false }
  if (description.kind === 'static') return open(opening, 'float32', unmeasured)
  if (device.id !== 'cpu') return open(opening, await fastDtype(device), unmeasured)
  const key = await choiceKey({ version: packageVersion(), isa, threads: opening.threads }, description)
  // Without this caller's signal, because others may wait for the same measurement, and with room in the queue for its
  // texts.
  const measuring: Opening = {
    ...opening,
    given: { ...given, signal: null, maxQueueTokens: Math.max(given.maxQueueTokens, MEASURING_QUEUE_TOKENS) },
  }
  const { dtype, ...choice } = await chooseDtype(
    key,
    async (candidate) => measurable(await open(measuring, candidate, null)),
    given.signal,
  )
  // The chosen one is opened again, because keeping it while the next one is measured would put three models in memory.
  return open(opening, dtype, choice)
}

type Hub = Parameters<typeof withBaseModel>[1]

/** The description with its base model, and with the adapter that the caller names. */
async function withAdapter(found: ModelDescription, named: string | null, hub: Hub): Promise<ModelDescription> {
  if (named === null) return withBaseModel(found, hub)
  if (found.kind === 'static')
    throw invalidOption('adapter', `nothing (${found.root} is a static model, which has no layers)`, named)
  if (found.adapter !== null)
    throw invalidOption('adapter', `nothing (${found.root} is a model with an adapter of its own)`, named)
  const directory = path.resolve(named)
  await refuseOtherStack(directory, found)
  return { ...found, adapter: { directory, base: found.weights, revision: null } }
}

/** Wraps a caller's callback: an exception in it ends the load with a coded error. */
function guarded<T>(onProgress: (progress: T) => void): (progress: T) => void {
  return (progress) => {
    try {
      onProgress(progress)
    } catch (error) {
      throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `The call's onProgress threw: ${reason(error)}`, {
        cause: error,
      })
    }
  }
}

/** All that is known before weights are read. */
interface Opening {
  name: string
  given: ResolvedLoad
  description: ModelDescription
  device: ChosenDevice
  isa: string
  threads: number
  tokenizer: Promise<TextTokenizer>
}

async function open(
  { name, given, description, device, isa, threads, tokenizer }: Opening,
  dtype: Dtype,
  dtypeChoice: DtypeChoice | null,
): Promise<Model> {
  const opened = async (): Promise<RawModel> =>
    openWeights(given.signal, {
      kind: description.kind,
      directory: description.weights,
      modules: description.modules,
      layerWeights: description.layerWeights,
      ...(description.adapter === null
        ? {}
        : { adapter: await adapterSource(description.adapter.directory, description) }),
      dtype,
      device: device.id,
      isa,
      library: device.library,
      threads,
      maxBatchTokens: given.maxBatchTokens,
      maxQueueTokens: given.maxQueueTokens,
    })
  const [weights, words] = await Promise.allSettled([opened(), tokenizer])
  try {
    // A new error is created after the await, so that its stack leads to the caller.
    if (weights.status === 'rejected') throw withOwnStack(weights.reason)
    if (words.status === 'rejected') throw withOwnStack(words.reason)
    if (given.signal?.aborted === true) throw abortError(given.signal)
    return assemble(
      { name, raw: weights.value, rawInfo: weights.value.info, tokenizer: words.value, description, dtypeChoice },
      given.maxTokens,
    )
  } catch (error) {
    if (weights.status === 'fulfilled') weights.value.dispose()
    throw error
  }
}

/** Options that are refused before weights are read. */
function refuseForStatic({ kind, root }: ModelDescription, dtype: Dtype | 'auto'): void {
  if (kind !== 'static' || dtype === 'float32' || dtype === 'auto') return
  throw invalidOption(
    'dtype',
    `'float32' or 'auto' (${root} is a static model: its vectors are looked up and added in float32 only)`,
    dtype,
  )
}

/** An abort takes effect between two tensors. */
async function openWeights(signal: AbortSignal | null, options: RawLoadOptions): Promise<RawModel> {
  const throwIfAborted = (): void => {
    if (signal?.aborted === true) throw abortError(signal)
  }
  throwIfAborted()
  let abort = (): void => undefined
  try {
    return await new Promise<RawModel>((resolve, reject) => {
      const task = native().load(options, (error, model) => {
        if (model === undefined) reject(error ?? new Error('the addon gave neither a model nor an error'))
        else resolve(model)
      })
      abort = () => task.abort()
      signal?.addEventListener('abort', abort, { once: true })
    })
  } catch (error) {
    throwIfAborted()
    throw error
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}

function assemble(parts: Omit<ModelParts, 'maxTokens'>, asked: number | null): Model {
  const { rawInfo, tokenizer, description } = parts
  // Added tokens beyond the table are common in published models and matter only to a text that holds one; a base
  // vocabulary that does not fit belongs to another model.
  if (tokenizer.baseVocabSize > rawInfo.vocabSize) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_TOKENIZER_MISMATCH',
      `Expected a tokenizer of at most ${rawInfo.vocabSize} tokens (the rows of the model's embeddings) ` +
        `for ${description.directory} but found one of ${tokenizer.baseVocabSize}`,
    )
  }
  if (description.attention.length > 1 && description.attention.length !== rawInfo.layers)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_CONFIG',
      `Expected one mode or ${rawInfo.layers}, one a layer, for "attention" in ` +
        `${path.join(description.weights, OWN_LAYOUT_FILE)} but found ${description.attention.length}`,
    )
  const positions = rawInfo.maxPositions > 0 ? rawInfo.maxPositions : null
  if (asked !== null && positions !== null && asked > positions) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected an integer from 1 to ${positions} (the longest this model takes) for maxTokens but received ${asked}`,
    )
  }
  const limit = tokenizer.maxTokens
  const maxTokens = positions === null ? limit : Math.min(limit ?? positions, positions)
  return createModel({ ...parts, maxTokens })
}
