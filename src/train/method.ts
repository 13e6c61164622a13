/** The parameters of a model that a method trains, by their names. */
import { EmbedCoreError } from '../core/errors.js'
import { invalidOption } from '../core/options.js'
import { show } from '../core/show.js'
import type { RawLora, RawParameter } from '../core/training-binding.js'
import { layerMatrices, layerOf } from '../model/layer-matrices.js'
import { byPattern, matchesEnd, type PeftAdapter } from '../model/peft.js'
import type { CheckedLora, CheckedMethod, FreezeOptions } from './method-options.js'

/** What is trained in the transformer. */
export interface TrainedParts {
  /** Names of parameters; null = all. */
  trains: string[] | null
  lora: RawLora[]
  /** The adapter that is trained further; null = a new one, or none. */
  adapter: PeftAdapter | null
  /** Numbers of all parameters, and of those that are trained. */
  parameters: number
  trained: number
}

export function layerCount(parameters: readonly RawParameter[]): number {
  return 1 + parameters.reduce((most, { name }) => Math.max(most, layerOf(name) ?? -1), -1)
}

export const elements = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1)

export function trainedParts(
  parameters: readonly RawParameter[],
  method: CheckedMethod,
  freeze: Required<FreezeOptions>,
  adapter: PeftAdapter | null = null,
): TrainedParts {
  const total = parameters.reduce((sum, { shape }) => sum + elements(shape), 0)
  const of = (names: readonly string[]): number => {
    const wanted = new Set(names)
    return parameters.reduce((sum, { name, shape }) => sum + (wanted.has(name) ? elements(shape) : 0), 0)
  }
  switch (method.type) {
    case 'full': {
      const layers = layerCount(parameters)
      if (freeze.layers > layers)
        throw invalidOption('layers', `at most ${layers} (the layers of the model)`, freeze.layers)
      const names = parameters.map(({ name }) => name).filter((name) => !isFrozen(name, freeze))
      const all = names.length === parameters.length
      return { trains: all ? null : names, lora: [], adapter, parameters: total, trained: all ? total : of(names) }
    }
    case 'bitfit': {
      const names = parameters.map(({ name }) => name).filter((name) => name.endsWith('.bias'))
      if (names.length === 0) throw invalidOption('method', "'full' or 'lora' for a model without biases", 'bitfit')
      return { trains: names, lora: [], adapter, parameters: total, trained: of(names) }
    }
    case 'lora': {
      const lora =
        adapter === null
          ? loraModules(layerMatrices(parameters), method)
          : adapter.updates.map(({ module, rank, scale }) => ({ module, rank, scale, dropout: method.dropout }))
      const shapes = layerMatrices(parameters)
      const trained = lora.reduce((sum, { module, rank }) => {
        const [out, into] = shapes.get(module)!
        return sum + rank * (out! + into!)
      }, 0)
      return { trains: [], lora, adapter, parameters: total + trained, trained }
    }
  }
}

function isFrozen(name: string, { embeddings, layers }: Required<FreezeOptions>): boolean {
  const layer = layerOf(name)
  return layer === null ? embeddings && /embed/i.test(name) : layer < layers
}

/** PEFT's default targets of the families here: the first list whose names the model has. */
const DEFAULT_TARGETS = [['query', 'value'], ['q_lin', 'v_lin'], ['q_proj', 'v_proj'], ['attn.q', 'attn.v'], ['Wqkv']]

const isTarget = (module: string, target: string): boolean => module === target || module.endsWith(`.${target}`)

/** The targets as PEFT takes them: ends of names, or a regular expression. */
export function loraTargets(modules: readonly string[], { targets }: CheckedLora): string | string[] {
  if (targets === 'all-linear') return [...modules]
  if (targets !== null) return targets
  const found = DEFAULT_TARGETS.find((list) => list.every((target) => modules.some((name) => isTarget(name, target))))
  if (found !== undefined) return found
  throw new EmbedCoreError(
    'ERR_EMBEDCORE_INVALID_OPTION',
    `Expected targets for LoRA beside this model, which has no queries and values by their usual names; ` +
      `its matrices are ${shownNames(modules)}`,
  )
}

function loraModules(shapes: ReadonlyMap<string, readonly number[]>, method: CheckedLora): RawLora[] {
  const modules = [...shapes.keys()]
  const targets = loraTargets(modules, method)
  // A text is a regular expression for the whole name; a list holds ends of names.
  const matches =
    typeof targets === 'string'
      ? (name: string) => new RegExp(`^(?:${targets})$`).test(name)
      : (name: string) => targets.some((target) => isTarget(name, target))
  if (Array.isArray(targets)) {
    const absent = targets.find((target) => !modules.some((name) => isTarget(name, target)))
    if (absent !== undefined) throw noSuchTarget(absent, modules)
  }
  const layers = method.layersToTransform
  const count = 1 + Math.max(-1, ...modules.map((name) => layerOf(`${name}.`) ?? -1))
  const outside = layers?.find((layer) => layer >= count)
  if (outside !== undefined) throw invalidOption('layersToTransform', `layers from 0 to ${count - 1}`, outside)
  const chosen = modules.filter(
    (name) => matches(name) && (layers === null || layers.includes(layerOf(`${name}.`) ?? -1)),
  )
  if (chosen.length === 0) throw noSuchTarget(targets, modules)
  for (const name of ['rankPattern', 'alphaPattern'] as const)
    for (const expression of Object.keys(method[name]))
      if (!chosen.some((module) => matchesEnd(module, expression)))
        throw invalidOption(name, `ends of names among the targets (${shownNames(chosen)})`, expression)
  return chosen.map((module) => {
    const rank = byPattern(module, method.rankPattern) ?? method.rank
    const alpha = byPattern(module, method.alphaPattern) ?? method.alpha
    return { module, rank, scale: alpha / (method.rslora ? Math.sqrt(rank) : rank), dropout: method.dropout }
  })
}

function noSuchTarget(target: string | readonly string[], modules: readonly string[]): EmbedCoreError {
  return invalidOption(
    'targets',
    `matrices of the model (${shownNames(modules)})`,
    typeof target === 'string' ? target : target.join(', '),
  )
}

/** Ends of names without the numbers of layers, each once. */
function shownNames(modules: readonly string[]): string {
  const ends = [...new Set(modules.map((name) => name.replace(/^.*\.\d+\./, '')))]
  return ends.slice(0, 12).join(', ') + (ends.length > 12 ? ` and ${ends.length - 12} more` : '') || show('')
}
