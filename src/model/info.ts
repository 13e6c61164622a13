/** The `info` of a model. */
import type { RawModelInfo } from '../core/binding.js'
import type { AttentionMode, DeviceId, Dtype, ModelKind, PoolingMode, SimilarityName } from '../core/names.js'
import type { ModelDescription } from './directory.js'

/** Properties of a model, and how it runs. */
export interface ModelInfo {
  /** The path or hub id it was loaded by. */
  readonly name: string
  /** The directory of its files. */
  readonly path: string
  /** The directory of the adapter that was added to the weights; null = none. */
  readonly adapter: string | null
  readonly kind: ModelKind
  readonly family: string
  /** Numbers in a vector of encode, unless a call sets another number. */
  readonly dimension: number
  readonly hiddenSize: number
  /** 0 for static models, like heads and kvHeads. */
  readonly layers: number
  readonly heads: number
  readonly kvHeads: number
  readonly vocabSize: number
  /** Tokens a text is cut to when a call does not say; 0 = never cut. */
  readonly maxTokens: number
  readonly parameters: number
  /** dtype of the weights in the file. */
  readonly fileDtype: string
  /** The type of its arithmetic; with `dtype: 'auto'`, the one that was chosen. */
  readonly dtype: Dtype
  /** What `dtype: 'auto'` was decided by; null when the caller chose or left it at the default. */
  readonly dtypeChoice: DtypeChoice | null
  /** Bytes the weights take in memory: matrices of products in `dtype`, embedding tables in the file's dtype. */
  readonly weightBytes: number
  readonly pooling: readonly PoolingMode[]
  /** Whether vectors are normalised unless a call says otherwise. */
  readonly normalize: boolean
  readonly prompts: Readonly<Record<string, string>>
  readonly defaultPromptName: string | null
  readonly similarity: SimilarityName
  /** Of all layers, or of each. */
  readonly attention: AttentionMode | readonly AttentionMode[]
  /** What it runs on: `'cpu'`, or `'cuda:0'` and so on. */
  readonly device: DeviceId
  /**
   * The code that runs: `cpu-avx512bf16`, `cpu-avx512vnni`, `cpu-avx512`, `cpu-avx2vnni`, `cpu-avx2`, `cpu-plain`,
   * `reference`, or `cuda`.
   */
  readonly isa: string
  readonly threads: number
}

/** Exactness and speed of a dtype, measured on this machine over a few dozen texts of several languages and lengths. */
export interface DtypeMeasurement {
  readonly dtype: Dtype
  /**
   * The least cosine of a text's vector to its vector in float32. 0 = it could not be run, or gave no usable numbers.
   */
  readonly leastCosine: number
  /**
   * From strings to vectors, median of rounds in turn with float32. 0 = it could not be run, or gave no usable numbers.
   */
  readonly tokensPerSecond: number
}

/** What `dtype: 'auto'` was decided by. */
export interface DtypeChoice {
  /** float32 first; empty for static models, which have nothing to choose, and on a GPU, where nothing is measured. */
  readonly measured: readonly DtypeMeasurement[]
  /** Whether it was known from an earlier load, of this process or another. */
  readonly remembered: boolean
}

/** What is known of a model once it is loaded. */
export interface ModelFacts {
  name: string
  rawInfo: RawModelInfo
  description: ModelDescription
  /** What chose the dtype; null = the caller. */
  dtypeChoice: DtypeChoice | null
  /** Tokens a text is cut to when a call does not say; null = never. */
  maxTokens: number | null
}

function frozenChoice(choice: DtypeChoice | null): DtypeChoice | null {
  return (
    choice &&
    Object.freeze({ ...choice, measured: Object.freeze(choice.measured.map((one) => Object.freeze({ ...one }))) })
  )
}

/** The `info` of a model. */
export function describe(
  { name, rawInfo, description, dtypeChoice, maxTokens }: ModelFacts,
  dimension: number,
): ModelInfo {
  const {
    family,
    hiddenSize,
    layers,
    heads,
    kvHeads,
    vocabSize,
    parameters,
    fileDtype,
    weightBytes,
    attention: own,
    device,
    isa,
    threads,
  } = rawInfo
  const [attention = own] = description.attention
  return Object.freeze({
    name,
    path: description.root,
    adapter: description.adapter?.directory ?? null,
    kind: description.kind,
    family,
    dimension,
    hiddenSize,
    layers,
    heads,
    kvHeads,
    vocabSize,
    maxTokens: maxTokens ?? 0,
    parameters,
    fileDtype,
    dtype: rawInfo.dtype,
    dtypeChoice: frozenChoice(dtypeChoice),
    weightBytes,
    pooling: Object.freeze([...(description.pooling?.modes ?? ['mean' as const])]),
    normalize: description.modules.some(({ type }) => type === 'normalize'),
    prompts: Object.freeze({ ...description.prompts }),
    defaultPromptName: description.defaultPromptName,
    similarity: description.similarity,
    attention: description.attention.length > 1 ? Object.freeze([...description.attention]) : attention,
    device,
    isa,
    threads,
  })
}
