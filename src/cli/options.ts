/**
 * The flags that choose a model and say how to encode, and their translation into `LoadOptions` and `EncodeOptions`.
 */
import { didYouMean } from './did-you-mean.js'
import { valueHere } from '../core/other-names.js'
import { DEVICE_EXAMPLES, isDeviceName } from '../core/options.js'
import { ATTENTIONS, type DeviceName, DEVICES, DTYPES, FUSIONS, POOLINGS, PRECISIONS, SIDES } from '../core/names.js'
import type { LoadOptions } from '../model/load-options.js'
import type { EncodeOptions, LayerSelection } from '../model/types.js'
import {
  booleanOf,
  choiceOf,
  choicesOf,
  integerOf,
  refuseBoth,
  stringOf,
  type Arguments,
  type Flags,
} from './arguments.js'
import { UsageError } from './failures.js'

const DTYPE_CHOICES = [...DTYPES, 'auto'] as const

export const MODEL_FLAGS = {
  model: {
    type: 'string',
    short: 'm',
    value: 'MODEL',
    help: 'folder or hub id (owner/name); without it the built-in model',
  },
  revision: { type: 'string', value: 'NAME', help: 'hub: branch, tag or commit' },
  offline: { type: 'boolean', help: 'hub: use only what is in the cache' },
  'cache-dir': { type: 'string', value: 'DIR', help: 'hub: cache folder' },
  device: { type: 'string', value: 'NAME', help: `${DEVICES.join(', ')}, or cuda:1 for one of several GPUs` },
  dtype: {
    type: 'string',
    value: 'NAME',
    help:
      `arithmetic: ${DTYPE_CHOICES.join(', ')}; ` +
      'auto = the fastest that keeps cosine to float32 at 0.9999, measured once',
  },
  threads: { type: 'string', value: 'N', help: 'worker threads; without it the physical cores this process may use' },
  adapter: { type: 'string', value: 'DIR', help: 'a LoRA adapter, added to the weights of the model' },
} as const satisfies Flags

export const ENCODE_FLAGS = {
  pooling: { type: 'string', value: 'LIST', help: `comma list of ${POOLINGS.join(', ')}; joined end to end` },
  layers: {
    type: 'string',
    value: 'WHICH',
    help: '-1, 0, "16,24", 4-8, last:4, first-last; 0 = embeddings, -1 = last',
  },
  'layer-fusion': { type: 'string', value: 'HOW', help: FUSIONS.join(' or ') },
  attention: { type: 'string', value: 'LIST', help: `${ATTENTIONS.join(', ')}; one, or a comma list with one a layer` },
  normalize: { type: 'boolean', help: 'make every vector of length 1' },
  'no-normalize': { type: 'boolean', help: 'leave lengths as they are' },
  dimensions: { type: 'string', value: 'N', help: 'keep the first N dimensions' },
  prompt: { type: 'string', value: 'TEXT', help: 'put before every text' },
  'prompt-name': { type: 'string', value: 'NAME', help: "one of the model's own prompts, e.g. query" },
  'max-tokens': { type: 'string', value: 'N', help: 'tokens a text is cut to' },
  truncate: {
    type: 'string',
    value: 'END',
    help: 'right or left end is cut off; none = fail on a text that is too long',
  },
} as const satisfies Flags

export const PRECISION_FLAG = {
  precision: { type: 'string', value: 'TYPE', help: PRECISIONS.join(', ') },
} as const satisfies Flags

export function loadOptionsOf(args: Arguments, signal: AbortSignal): LoadOptions {
  const options: LoadOptions = { signal }
  const device = deviceOf(args)
  const dtype = choiceOf(args, 'dtype', DTYPE_CHOICES)
  const threads = integerOf(args, 'threads')
  const revision = stringOf(args, 'revision')
  const cacheDir = stringOf(args, 'cache-dir')
  if (device !== undefined) options.device = device
  if (dtype !== undefined) options.dtype = dtype
  if (threads !== undefined) options.threads = threads
  if (revision !== undefined) options.revision = revision
  if (cacheDir !== undefined) options.cacheDir = cacheDir
  const adapter = stringOf(args, 'adapter')
  if (adapter !== undefined) options.adapter = adapter
  if (booleanOf(args, 'offline')) options.offline = true
  return options
}

function deviceOf(args: Arguments): DeviceName | undefined {
  const given = stringOf(args, 'device')
  if (given === undefined || isDeviceName(given)) return given
  const advice = valueHere('device', given)
  throw new UsageError(
    `--device is one of ${DEVICES.join(', ')}, or cuda:0, cuda:1, ..., but ${JSON.stringify(given)} was given` +
      (advice === null ? didYouMean(given, DEVICE_EXAMPLES) : `; ${advice.replaceAll("'", '')}`),
    args.topic,
  )
}

/** Only the shape is checked here, before a model is loaded; the library knows how many layers there are. */
function layersOf(args: Arguments): LayerSelection | undefined {
  const given = stringOf(args, 'layers')
  if (
    given === undefined ||
    given.split(',').every((part) => /^(first-last|last:\d+|-?\d+|-?\d+--?\d+)$/.test(part.trim()))
  )
    return given
  throw new UsageError(
    `--layers is a number, 4-8, last:4, first-last, or several of them parted by commas, ` +
      `but ${JSON.stringify(given)} was given`,
    args.topic,
  )
}

export function encodeOptionsOf(args: Arguments, signal: AbortSignal): EncodeOptions {
  refuseBoth(args, 'normalize', 'no-normalize')
  refuseBoth(args, 'prompt', 'prompt-name')
  const options: EncodeOptions = { signal }
  const pooling = choicesOf(args, 'pooling', POOLINGS)
  const layers = layersOf(args)
  const layerFusion = choiceOf(args, 'layer-fusion', FUSIONS)
  const attention = choicesOf(args, 'attention', ATTENTIONS)
  const dimensions = integerOf(args, 'dimensions')
  const precision = choiceOf(args, 'precision', PRECISIONS)
  const prompt = stringOf(args, 'prompt')
  const promptName = stringOf(args, 'prompt-name')
  const maxTokens = integerOf(args, 'max-tokens')
  const truncate = choiceOf(args, 'truncate', [...SIDES, 'none'] as const)
  if (pooling !== undefined) options.pooling = pooling.length === 1 ? pooling[0]! : pooling
  if (layers !== undefined) options.layers = layers
  if (layerFusion !== undefined) options.layerFusion = layerFusion
  if (attention !== undefined) options.attention = attention.length === 1 ? attention[0]! : attention
  if (booleanOf(args, 'normalize')) options.normalize = true
  if (booleanOf(args, 'no-normalize')) options.normalize = false
  if (dimensions !== undefined) options.dimensions = dimensions
  if (precision !== undefined) options.precision = precision
  if (prompt !== undefined) options.prompt = prompt
  if (promptName !== undefined) options.promptName = promptName
  if (maxTokens !== undefined) options.maxTokens = maxTokens
  if (truncate !== undefined) options.truncate = truncate === 'none' ? false : truncate
  return options
}
