/** Options of the order of training data. */
import { checkOptions, flag, integer, invalidOption, oneOf, positiveNumber } from '../../core/options.js'
import { show } from '../../core/show.js'
import { EmbedCoreError } from '../../core/errors.js'
import type { Needs } from '../data/facts.js'
import { MIXINGS, type Mixing } from './mixing.js'
import { LARGEST_SEED } from '../../core/random.js'

export const SAMPLERS = [
  'random',
  'sequential',
  'no-duplicates',
  'group-by-label',
  'cross-language',
  'length-aware',
] as const
/**
 * How the rows of a source become batches.
 * - `random`: in random order. `sequential`: in the order of the source.
 * - `no-duplicates`: in random order, no text twice in a batch.
 * - `group-by-label`: every label of a batch at least twice in it, and at least two labels.
 * - `cross-language`: rows of the same category and of different languages.
 * - `length-aware`: texts of similar length.
 */
export type SamplerName = (typeof SAMPLERS)[number]

export interface SamplerOptions {
  /** Default `'random'`. */
  sampler?: SamplerName
  /** Rows of a batch. Default 32. */
  batchSize?: number
  /** Whether a batch that is not full is left out. Default false. */
  dropLast?: boolean
  /** Default 0. */
  seed?: number
  /** Of several sources. Default `'proportional'`. */
  mixing?: Mixing
  /** Of `mixing: 'temperature'`. Default 2. */
  temperature?: number
  /** Rows of an iterable among which `random` draws. Default 10,000. */
  shuffleBuffer?: number
  /** Of `length-aware`: batches whose rows are sorted together. Default 64. */
  bucketBatches?: number
}

export type ResolvedSampler = Required<SamplerOptions>

export const SAMPLER_RULES = {
  sampler: oneOf(...SAMPLERS),
  batchSize: integer(1, 1 << 20),
  dropLast: flag,
  seed: integer(0, LARGEST_SEED),
  mixing: oneOf(...MIXINGS),
  temperature: positiveNumber,
  shuffleBuffer: integer(1, 1 << 24),
  bucketBatches: integer(1, 1 << 16),
}

/** @throws ERR_EMBEDCORE_INVALID_OPTION, _UNKNOWN_OPTION */
export function resolveSampler(options?: SamplerOptions): ResolvedSampler {
  const given = checkOptions(options, SAMPLER_RULES)
  const resolved: ResolvedSampler = {
    sampler: given.sampler ?? 'random',
    batchSize: given.batchSize ?? 32,
    dropLast: given.dropLast ?? false,
    seed: given.seed ?? 0,
    mixing: given.mixing ?? 'proportional',
    temperature: given.temperature ?? 2,
    shuffleBuffer: given.shuffleBuffer ?? 10_000,
    bucketBatches: given.bucketBatches ?? 64,
  }
  if (resolved.sampler === 'group-by-label' && (resolved.batchSize < 4 || resolved.batchSize % 2 === 1))
    throw invalidOption('batchSize', "an even number from 4 for the sampler 'group-by-label'", resolved.batchSize)
  if (resolved.sampler === 'cross-language' && resolved.batchSize < 2)
    throw invalidOption('batchSize', "at least 2 for the sampler 'cross-language'", resolved.batchSize)
  if (given.temperature !== undefined && resolved.mixing !== 'temperature')
    throw invalidOption('temperature', "nothing without mixing: 'temperature'", given.temperature)
  if (given.bucketBatches !== undefined && resolved.sampler !== 'length-aware')
    throw invalidOption('bucketBatches', "nothing without sampler: 'length-aware'", given.bucketBatches)
  return resolved
}

/** The facts of rows that a sampler needs, beyond the columns that every source keeps. */
export function samplerNeeds(sampler: SamplerName): Needs {
  return {
    keys: sampler === 'no-duplicates',
    ids: sampler === 'cross-language',
    lengths: sampler === 'length-aware',
  }
}

/** A sampler that the source cannot serve. */
export function missing(
  sampler: SamplerName,
  what: string,
  source: string,
  columns: readonly string[],
): EmbedCoreError {
  return new EmbedCoreError(
    'ERR_EMBEDCORE_INVALID_OPTION',
    `Expected ${what} in ${show(source)} for the sampler '${sampler}' but its columns are ${columns.join(', ')} ` +
      '(the option columns of a source says which is which)',
  )
}
