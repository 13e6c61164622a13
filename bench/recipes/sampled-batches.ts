/** The batches that a run of `train` draws, by the package's own sampler: the texts and numbers of their rows. */
import { assemble } from '../../src/train/data/assemble.js'
import { openData } from '../../src/train/data/open.js'
import type { TrainingSources } from '../../src/train/data/sources.js'
import { samplerNeeds, type SamplerName } from '../../src/train/samplers/options.js'
import { BatchSampler } from '../../src/train/samplers/sampler.js'

export interface ReplayedBatch {
  /** Texts by column, with their prompts. */
  texts: string[][]
  /** Classes or groups of the rows; null = none. */
  labels: number[] | null
}

interface Options {
  data: TrainingSources
  sampler: SamplerName
  batchSize: number
  epochs: number
  seed: number
  prompts?: string
}

export async function sampledBatches(options: Options): Promise<ReplayedBatch[]> {
  const { data, sampler, batchSize, epochs, seed, prompts } = options
  const opened = await openData(data, {
    needs: samplerNeeds(sampler),
    seed,
    ...(prompts === undefined ? {} : { prompts }),
  })
  const batches: ReplayedBatch[] = []
  try {
    const order = await BatchSampler.create(opened, { sampler, batchSize, seed }, epochs)
    for (let batch = await order.next(); batch !== null; batch = await order.next()) {
      const source = opened.sources[batch.source]!
      const rows = await source.rows!.read(batch.rows)
      const { columns, labels } = assemble(source, rows, batch.rows, batch.sourceEpoch, opened.dictionaries)
      batches.push({
        texts: columns.map((column, c) => column.map((text) => source.prompts[c]! + text)),
        labels: labels === null ? null : [...labels],
      })
    }
  } finally {
    await opened.close()
  }
  return batches
}
