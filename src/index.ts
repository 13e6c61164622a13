/**
 * embedcore: text embeddings inside a Node process.
 * @packageDocumentation
 */
import { fileURLToPath } from 'node:url'
import { devices } from './devices.js'
import { loadModel } from './model/load.js'
import type { Model } from './model/model.js'
import type {
  EncodeOptions,
  LoadOptions,
  Precision,
  SentenceEmbeddings,
  SentenceOptions,
  TokenEmbeddings,
  TokenOptions,
} from './types.js'
import { quantizationRanges, similarity } from './vectors.js'

/** The model in the package: static vectors of 256 dimensions for English, Chinese, Spanish and French, no download. */
const DEFAULT_MODEL = fileURLToPath(new URL('../models/embedcore-static-multilingual', import.meta.url))

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

export { EmbedCoreError, type ErrorCode } from './errors.js'
export type { Model } from './model/model.js'
export type * from './types.js'
export type { SimilarityOptions, Vectors } from './vectors.js'
