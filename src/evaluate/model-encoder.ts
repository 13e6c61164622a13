/** A loaded model as the encoder of one evaluation, which warns of unknown texts once and not in every batch. */
import { EmbedCoreError } from '../core/errors.js'
import { reason, show } from '../core/show.js'
import { encodeQuietly, Model } from '../model/model.js'
import { DOCUMENT_PROMPT, QUERY_PROMPT } from '../model/prompts.js'
import type { Encoder, EncoderOptions } from './types.js'

export function encoderOf(model: Model): Encoder {
  let warned = false
  let given = 0
  const encode = (texts: readonly string[], options: EncoderOptions | undefined, prompt: Prompt) => {
    const first = given
    given += texts.length
    return encodeQuietly(model, texts, options, prompt, (unknown) => {
      warned = warned || unknown.warn(model.info.name, first)
    })
  }
  return {
    info: model.info,
    encode: (texts, options) => encode(texts, options, null),
    encodeQuery: (texts, options) => encode(texts, options, QUERY_PROMPT),
    encodeDocument: (texts, options) => encode(texts, options, DOCUMENT_PROMPT),
    encodeTokens: (texts, options) => model.encode(texts, { ...options, output: 'token' }),
  }
}

type Prompt = Parameters<typeof encodeQuietly>[3]

/** The encoder of what a caller gave as the model. @throws ERR_EMBEDCORE_INVALID_OPTION */
export function checkEncoder(model: unknown): Encoder {
  if (model instanceof Model) return encoderOf(model)
  let encode: unknown
  try {
    encode = (model as Partial<Encoder> | null | undefined)?.encode
  } catch (error) {
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `Reading the model failed: ${reason(error)}`, {
      cause: error,
    })
  }
  if (typeof encode === 'function') return model as Encoder
  throw new EmbedCoreError(
    'ERR_EMBEDCORE_INVALID_OPTION',
    `Expected a model of load(), or an object with an encode function, but received ${show(model)}`,
  )
}
