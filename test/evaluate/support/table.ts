/** Encoders that look vectors up, so that tests of evaluators know every number. */
import type { SimilarityName } from '../../../src/core/names.js'
import type { EncodedTexts, Encoder, EncoderOptions } from '../../../src/evaluate/types.js'

export interface TableEncoder extends Encoder {
  /** The calls in order: the method, the texts, the options. */
  calls: { kind: 'text' | 'query' | 'document'; texts: readonly string[]; options: EncoderOptions }[]
}

/** `rowOf` gives the vector of a text. Vectors are cut and normalised as encode does it in sentence-transformers. */
export function lookup(rowOf: (text: string) => ArrayLike<number>, similarity?: SimilarityName): TableEncoder {
  const calls: TableEncoder['calls'] = []
  const encode =
    (kind: 'text' | 'query' | 'document') =>
    async (texts: readonly string[], options: EncoderOptions = {}): Promise<EncodedTexts> => {
      calls.push({ kind, texts, options })
      await new Promise(setImmediate)
      options.signal?.throwIfAborted()
      const rows = texts.map((text) => vector(rowOf(text), options))
      return { data: Float32Array.from(rows.flat()), shape: [texts.length, rows[0]?.length ?? 0] }
    }
  return {
    info: { name: 'table', ...(similarity === undefined ? {} : { similarity }) },
    encode: encode('text'),
    encodeQuery: encode('query'),
    encodeDocument: encode('document'),
    calls,
  }
}

function vector(row: ArrayLike<number>, { dimensions, normalize }: EncoderOptions): number[] {
  const cut = Array.from(row).slice(0, dimensions)
  if (normalize !== true) return cut
  const length = Math.hypot(...cut)
  return cut.map((value) => Math.fround(value / length))
}
