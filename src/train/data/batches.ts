/**
 * Training data with their sampler, from one set of options: what a run opens. The loader comes after it, because it
 * needs the tokenizer.
 */
import { either, filledText, oneOf, text, textsByName } from '../../core/options.js'
import { SAMPLER_RULES, type SamplerOptions, samplerNeeds } from '../samplers/options.js'
import { BatchSampler } from '../samplers/sampler.js'
import { BAD_ROW_POLICIES, type BadRowPolicy } from './bad-rows.js'
import { type OpenOptions, openData, type TrainingData } from './open.js'
import type { Prompts, TrainingSources } from './sources.js'

/** How data are read and ordered. */
export interface TrainingDataOptions extends SamplerOptions {
  /** Whether a row that cannot be used ends the run or is left out. Default `'error'`. */
  onBadRow?: BadRowPolicy
  /** Put before the texts of a column, of all sources. */
  prompts?: Prompts
  /** Where packed files are unpacked. Default: that of the system. */
  tmpDir?: string
}

/** For `checkOptions`. */
export const DATA_RULES = {
  ...SAMPLER_RULES,
  onBadRow: oneOf(...BAD_ROW_POLICIES),
  prompts: either<string, Record<string, string>>(text, textsByName),
  tmpDir: filledText,
}

export interface OpenBatches {
  data: TrainingData
  sampler: BatchSampler
}

/**
 * Opens data and their sampler; `data.close()` closes both.
 * @throws As `openData` and `BatchSampler.create`.
 */
export async function openBatches(
  sources: TrainingSources,
  options: TrainingDataOptions,
  { epochs, signal, onProgress }: { epochs: number } & Pick<OpenOptions, 'signal' | 'onProgress'>,
): Promise<OpenBatches> {
  const { onBadRow, prompts: given, tmpDir, ...sampling } = options
  const data = await openData(sources, {
    onBadRow,
    prompts: given,
    tmpDir,
    seed: sampling.seed,
    needs: samplerNeeds(sampling.sampler ?? 'random'),
    signal,
    onProgress,
  })
  try {
    return { data, sampler: await BatchSampler.create(data, sampling, epochs) }
  } catch (error) {
    await data.close()
    throw error
  }
}
