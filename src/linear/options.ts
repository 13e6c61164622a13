/** Checks the options that the fits have in common. */
import {
  abortSignal,
  callback,
  checkOptions,
  either,
  filledText,
  flag,
  integer,
  invalidOption,
} from '../core/options.js'
import { only, oneOrMore, text } from '../core/options.js'
import { quoteOf } from '../evaluate/source-rules.js'
import type { EncoderOptions } from '../evaluate/types.js'
import { ENCODE_RULES } from '../model/encode-options.js'
import type { FitProgress } from './types.js'

export const FIT_RULES = {
  normalize: flag,
  encode: only<object>('an object of options', (value) => {
    return typeof value === 'object' && value !== null && !Array.isArray(value)
  }),
  columns: oneOrMore(either(filledText, integer(1))),
  quote: text,
  batchSize: integer(1, 65536),
  signal: abortSignal,
  onProgress: callback<(progress: FitProgress) => void>(),
}

export const nonNegative = only<number>('a number of at least 0', (value) => {
  return typeof value === 'number' && value >= 0 && Number.isFinite(value)
})

/** What reading the corpus needs. */
export interface CheckedFit {
  normalize: boolean
  encode: EncoderOptions
  columns: readonly (string | number)[] | null
  quote: string | null
  batchSize: number
  signal: AbortSignal | undefined
  onProgress: ((progress: FitProgress) => void) | undefined
}

type GivenFit = {
  normalize?: boolean
  encode?: object
  columns?: readonly (string | number)[]
  quote?: string
  batchSize?: number
  signal?: AbortSignal
  onProgress?: (progress: FitProgress) => void
}

export function checkFit(given: GivenFit): CheckedFit {
  return {
    normalize: given.normalize ?? true,
    encode: { normalize: false, ...checkEncode(given.encode) },
    columns: given.columns ?? null,
    quote: quoteOf(given.quote),
    batchSize: given.batchSize ?? 256,
    signal: given.signal,
    onProgress: given.onProgress,
  }
}

const NOT_FOR_FITS = ['output', 'precision', 'ranges', 'signal', 'onProgress'] as const

export function checkEncode(given: unknown): EncoderOptions {
  const encode = checkOptions(given, { ...ENCODE_RULES, prefixTokens: integer(0) })
  for (const name of NOT_FOR_FITS)
    if (encode[name] !== undefined)
      throw invalidOption(`encode.${name}`, 'nothing (a fit takes one float32 vector per text)', encode[name])
  return encode as EncoderOptions
}
