/** The adapters beside a model, by name. */
import { abortError } from '../core/abort.js'
import type { RawAdapter, RawModel } from '../core/binding.js'
import { EmbedCoreError, toEmbedCoreError, withOwnStack } from '../core/errors.js'
import { native } from '../core/native.js'
import { abortSignal, checkOptions, filledText, invalidOption } from '../core/options.js'
import { show } from '../core/show.js'
import { layerMatrices } from './layer-matrices.js'
import type { ModelDescription } from './directory.js'
import { type PeftAdapter, readPeftAdapter } from './peft.js'
import { refuseOtherStack } from './adapter-stack.js'
import type { AdapterInfo, AdapterOptions } from './types.js'

const ADAPTER_RULES = { name: filledText, signal: abortSignal }
/** As in PEFT. */
const DEFAULT_NAME = 'default'

interface Loaded {
  info: AdapterInfo
  raw: RawAdapter
}

export class Adapters {
  /** null = it is being loaded. */
  private readonly byName = new Map<string, Loaded | null>()

  get list(): AdapterInfo[] {
    return [...this.byName.values()].filter((loaded) => loaded !== null).map(({ info }) => info)
  }

  async load(
    model: { raw: RawModel; description: ModelDescription },
    directory: unknown,
    options: AdapterOptions | undefined,
  ): Promise<AdapterInfo> {
    const { name = DEFAULT_NAME, signal } = checkOptions(options, ADAPTER_RULES)
    if (typeof directory !== 'string' || directory === '')
      throw invalidOption('the adapter', 'the path of a directory', directory)
    if (model.description.kind === 'static')
      throw invalidOption('the adapter', 'nothing beside a static model, which has no layers,', directory)
    if (this.byName.has(name))
      throw invalidOption('name', 'a name that no adapter of the model has (unloadAdapter makes one free)', name)
    this.byName.set(name, null)
    try {
      const matrices = layerMatrices(native().parameters(model.description.weights))
      const adapter = await readPeftAdapter(directory, [...matrices.keys()])
      await refuseOtherStack(adapter.directory, model.description)
      const raw = await open(model.raw, adapter, signal ?? null)
      const info = Object.freeze({
        name,
        path: adapter.directory,
        matrices: adapter.updates.length,
        parameters: adapter.updates.reduce((sum, { module, rank }) => {
          const [out, into] = matrices.get(module)!
          return sum + rank * (out! + into!)
        }, 0),
        weightBytes: raw.bytes,
      })
      if (this.byName.get(name) !== null) {
        raw.dispose() // The model was disposed meanwhile.
        throw new EmbedCoreError('ERR_EMBEDCORE_DISPOSED', `The model was disposed while ${show(directory)} was loaded`)
      }
      this.byName.set(name, { info, raw })
      return info
    } catch (error) {
      if (this.byName.get(name) === null) this.byName.delete(name)
      throw toEmbedCoreError(error)
    }
  }

  /** The adapter of this name; null for null. */
  get(name: string | null): RawAdapter | null {
    return name === null ? null : this.find('adapter', name).raw
  }

  async unload(name: unknown): Promise<void> {
    const { raw } = this.find('the adapter', name)
    this.byName.delete(name as string)
    await freed(raw)
  }

  /** Resolves when the memory of all of them is free. */
  async dispose(): Promise<void> {
    await Promise.all(this.release().map(freed))
  }

  /** Forgets all of them, and those that are being loaded. */
  release(): RawAdapter[] {
    const all = [...this.byName.values()].flatMap((loaded) => (loaded === null ? [] : [loaded.raw]))
    this.byName.clear()
    return all
  }

  private find(what: string, name: unknown): Loaded {
    const loaded = typeof name === 'string' ? this.byName.get(name) : undefined
    if (loaded !== undefined && loaded !== null) return loaded
    const names = this.list.map((info) => info.name)
    throw invalidOption(
      what,
      names.length === 0
        ? 'the name of an adapter that loadAdapter has loaded'
        : `one of ${names.map(show).join(', ')}`,
      name,
      names,
    )
  }
}

function freed(raw: RawAdapter): Promise<void> {
  return new Promise((resolve, reject) => {
    try {
      raw.dispose(() => resolve())
    } catch (error) {
      reject(toEmbedCoreError(error))
    }
  })
}

/** An abort takes effect between two matrices. */
async function open(model: RawModel, { directory, updates }: PeftAdapter, signal: AbortSignal | null) {
  const throwIfAborted = (): void => {
    if (signal?.aborted === true) throw abortError(signal)
  }
  throwIfAborted()
  let abort = (): void => undefined
  try {
    return await new Promise<RawAdapter>((resolve, reject) => {
      const task = model.loadAdapter({ directory, updates }, (error, adapter) => {
        if (adapter === undefined) reject(error ?? new Error('the addon gave neither an adapter nor an error'))
        else resolve(adapter)
      })
      abort = () => task.abort()
      signal?.addEventListener('abort', abort, { once: true })
    })
  } catch (error) {
    throwIfAborted()
    throw withOwnStack(error)
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}
