/** embedCore.load(): from a path or hub id to a model in memory. */
import type { RawLoadOptions, RawModel } from '../binding.js'
import { EmbedCoreError, toEmbedCoreError } from '../errors.js'
import { native } from '../native.js'
import type { LoadOptions } from '../types.js'
import { type ModelDescription, readModelDirectory } from './directory.js'
import { resolveLoadOptions } from './encode-options.js'
import { resolveModel } from '../hub/resolve.js'
import { Model } from './model.js'
import { abortError } from './run.js'
import { TextTokenizer } from './tokenizer.js'

export async function loadModel(pathOrHubId: string, options?: LoadOptions): Promise<Model> {
  const given = resolveLoadOptions(options)
  const addon = native() // First: without it nothing below is of use, and its error says what to do.
  const directory = await resolveModel(pathOrHubId, {
    revision: given.revision,
    ...(given.cacheDir === null ? {} : { cacheDir: given.cacheDir }),
    ...(given.token === null ? {} : { token: given.token }),
    ...(given.offline === null ? {} : { offline: given.offline }),
    ...(given.onProgress === null ? {} : { onProgress: given.onProgress }),
    ...(given.signal === null ? {} : { signal: given.signal }),
  })
  const description = await readModelDirectory(directory)
  const named = given.maxTokens ?? description.maxTokens
  const [weights, words] = await Promise.allSettled([
    openWeights({
      kind: description.kind, directory: description.directory, modules: description.modules, layerWeights: description.layerWeights,
      threads: given.threads ?? addon.cpu().cores, maxBatchTokens: given.maxBatchTokens, maxQueueTokens: given.maxQueueTokens,
    }),
    TextTokenizer.load(description.directory, { kind: description.kind, lowerCase: description.lowerCase, maxTokens: named }),
  ])
  try {
    // Made anew behind the await, so that the stack leads to the caller.
    if (weights.status === 'rejected') throw toEmbedCoreError(weights.reason)
    if (words.status === 'rejected') throw toEmbedCoreError(words.reason)
    if (given.signal?.aborted === true) throw abortError(given.signal)
    return assemble(pathOrHubId, weights.value, words.value, description, given.maxTokens)
  } catch (error) {
    if (weights.status === 'fulfilled') weights.value.dispose()
    throw error
  }
}

function openWeights(options: RawLoadOptions): Promise<RawModel> {
  return new Promise((resolve, reject) => {
    native().load(options, (error, model) => {
      if (model === undefined) reject(error ?? new Error('the addon gave neither a model nor an error'))
      else resolve(model)
    })
  })
}

function assemble(name: string, raw: RawModel, tokenizer: TextTokenizer, description: ModelDescription, asked: number | null): Model {
  const rawInfo = raw.info
  // Added tokens beyond the table are common in published models and matter only to a text that holds one; a base vocabulary that does not fit is another model's.
  if (tokenizer.baseVocabSize > rawInfo.vocabSize) {
    throw new EmbedCoreError('ERR_EMBEDCORE_TOKENIZER_MISMATCH', `The tokenizer in ${description.directory} has ${tokenizer.baseVocabSize} tokens, the model's embeddings have ${rawInfo.vocabSize} rows: they do not belong together`)
  }
  const positions = rawInfo.maxPositions > 0 ? rawInfo.maxPositions : null
  if (asked !== null && positions !== null && asked > positions) {
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `Expected an integer from 1 to ${positions} (the longest this model takes) for maxTokens but received ${asked}`)
  }
  const limit = tokenizer.maxTokens
  const maxTokens = positions === null ? limit : Math.min(limit ?? positions, positions)
  return new Model({ name, raw, rawInfo, description, tokenizer, maxTokens })
}
