/** A loaded model as the encoder of one evaluation, which warns of unknown texts once and not in every batch. */
import { encodeQuietly, type Model } from '../model/model.js'
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
