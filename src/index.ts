/**
 * embedcore: text embeddings inside a Node process.
 * @packageDocumentation
 */
import { devices } from './core/devices.js'
import { loadModel } from './model/load.js'
import type { Model } from './model/model.js'
import type { Precision } from './core/names.js'
import type { SentenceEmbeddings, TokenEmbeddings } from './core/types.js'
import type { LoadOptions } from './model/load-options.js'
import type { EncodeOptions, SentenceOptions, TokenOptions } from './model/types.js'
import { quantizationRanges, similarity } from './core/vectors.js'
import { DEFAULT_MODEL } from './package-files.js'

let defaultModel: Promise<Model> | null = null

/**
 * Loads a model: the path of a directory (sentence-transformers, Hugging Face or model2vec layout), or an id of the
 * hub, whose files come through the cache that Python's libraries use too. Without a name: the model that comes with
 * the package.
 * @throws ERR_EMBEDCORE_NOT_FOUND, _HUB, _HUB_OFFLINE, _HUB_CHECKSUM for where it lies; _INVALID_CONFIG, _INVALID_FILE,
 *   _MISSING_TENSOR, _SHAPE_MISMATCH, _TOKENIZER_MISMATCH for what is wrong with its files; _UNSUPPORTED_MODEL,
 *   _UNSUPPORTED_MODULE by name; _NATIVE_LOAD with advice.
 */
async function load(pathOrHubId?: string, options?: LoadOptions): Promise<Model> {
  return loadModel(pathOrHubId ?? DEFAULT_MODEL, options)
}

function encode<P extends Precision = 'float32'>(
  texts: string | readonly string[],
  options?: SentenceOptions<P>,
): Promise<SentenceEmbeddings<P>>
function encode(texts: string | readonly string[], options: TokenOptions): Promise<TokenEmbeddings>
/**
 * `encode` of the model that comes with the package, which is loaded on the first call and kept. See `Model.encode`.
 */
async function encode(
  texts: string | readonly string[],
  options?: EncodeOptions,
): Promise<SentenceEmbeddings | TokenEmbeddings> {
  defaultModel ??= load()
  let model
  try {
    model = await defaultModel
  } catch (error) {
    defaultModel = null // The next call tries again.
    throw error
  }
  return model.encode(texts, options)
}

/** Everything the package does. */
export const embedCore = Object.freeze({ load, encode, similarity, quantizationRanges, devices })

export { EmbedCoreError, type ErrorCode } from './core/errors.js'
export type { Model } from './model/model.js'
export type { DeviceInfo } from './core/devices.js'
export type {
  AttentionMode,
  DeviceName,
  Dtype,
  LayerFusion,
  ModelKind,
  OutputMode,
  PoolingMode,
  Precision,
  Side,
  SimilarityName,
} from './core/names.js'
export type { SentenceEmbeddings, TextTokens, TokenEmbeddings, VectorData } from './core/types.js'
export type { DownloadProgress } from './hub/types.js'
export type { DtypeChoice, DtypeMeasurement, ModelInfo } from './model/info.js'
export type { LoadOptions } from './model/load-options.js'
export type * from './model/types.js'
export type { Similarities, SimilarityOptions, Vectors } from './core/vectors.js'
