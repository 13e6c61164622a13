/**
 * The batches of training data, epoch after epoch, from all sources. What comes next depends on the data, the options
 * and the position alone, so a small state continues with the same batches.
 */
import { EmbedCoreError } from '../../core/errors.js'
import { show } from '../../core/show.js'
import type { OpenSource, TrainingData } from '../data/open.js'
import type { Row } from '../data/rows.js'
import { crossLanguage } from './cross-language.js'
import { groupByLabel } from './group-by-label.js'
import { InOrder } from './in-order.js'
import { lengthAware } from './length-aware.js'
import { Mixer, type MixingState } from './mixing.js'
import { NoDuplicates } from './no-duplicates.js'
import { missing, type ResolvedSampler, resolveSampler, type SamplerOptions } from './options.js'
import { PlannedOrder } from './planned.js'
import type { OrderSettings, OrderState, RowOrder, Unused } from './row-order.js'
import { StreamOrder } from './stream-order.js'

/** A batch before its rows are read. */
export interface SampledBatch {
  epoch: number
  /** Within the epoch, from 0. */
  index: number
  /** The number of the source. */
  source: number
  rows: Uint32Array
  /** The rows themselves, of an iterable. */
  read: Row[] | null
  /** How often the source has begun anew; FlagEmbedding rows draw their texts by it. */
  sourceEpoch: number
  /** State of the sampler after this batch: what a checkpoint keeps. */
  state: SamplerState
}

/** Where the order of batches stands. Plain JSON: it may be written to a file and given to `restore`. */
export interface SamplerState {
  version: 1
  /** The data and options that it belongs to. */
  of: string
  epoch: number
  mixing: MixingState
  orders: OrderState[]
  /** How often each source has begun. */
  begun: number[]
}

export class BatchSampler {
  private epoch = 0
  private begun: number[]
  private started = false

  private constructor(
    private readonly sources: readonly OpenSource[],
    private readonly orders: readonly RowOrder[],
    private readonly mixer: Mixer,
    private readonly options: ResolvedSampler,
    private readonly epochs: number,
  ) {
    this.begun = orders.map(() => 0)
  }

  /**
   * `epochs`: after which `next` gives no more batches.
   * @throws ERR_EMBEDCORE_INVALID_OPTION when the data have no column that the sampler needs, or cannot be had in
   *   another order; _INVALID_DATA when they have too few labels or languages.
   */
  static async create(data: TrainingData, options?: SamplerOptions, epochs = Infinity): Promise<BatchSampler> {
    const resolved = resolveSampler(options)
    const orders: RowOrder[] = []
    for (const [number, source] of data.sources.entries()) orders.push(await orderOf(source, number, resolved, epochs))
    const batches = orders.map((order) => order.batches)
    const shares = data.sources.map((source, i) => (batches[i] === 0 ? 0 : shareOf(source, resolved)))
    const mixer = new Mixer(resolved.mixing, resolved.seed, batches, shares)
    if (mixer.batchesPerEpoch === 0)
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_OPTION',
        `Expected at least ${resolved.batchSize} rows (batchSize) of every source beside dropLast ` +
          `but the data have ${data.count} in all`,
      )
    return new BatchSampler(data.sources, orders, mixer, resolved, epochs)
  }

  /**
   * Batches of an epoch; null = not known, because the rows come from an iterable. With `no-duplicates` an epoch may
   * have more: rows that share a text do not fill batches.
   */
  get batchesPerEpoch(): number | null {
    return this.mixer.batchesPerEpoch
  }

  /** Rows that the current epoch leaves out, by source and reason. */
  get unused(): (Unused & { source: string })[] {
    return this.orders.flatMap(({ unused }, i) => unused.map((some) => ({ ...some, source: this.sources[i]!.name })))
  }

  /** Null after the last epoch. */
  async next(): Promise<SampledBatch | null> {
    for (;;) {
      if (this.epoch >= this.epochs) return null
      if (!this.started) await this.begin()
      const source = this.mixer.next()
      if (source === null) {
        this.endEpoch()
        continue
      }
      const order = this.orders[source]!
      let picked = await order.next()
      if (picked === null && this.mixer.repeats && order.batches !== 0) {
        await order.start(this.begun[source]!++)
        picked = await order.next()
        if (picked === null) throw this.noBatch()
      }
      if (picked === null) {
        if (!this.mixer.exhausted(source)) this.endEpoch()
        continue
      }
      const { batch: index } = this.mixer.state()
      this.mixer.given(source)
      const sourceEpoch = this.begun[source]! - 1
      return { epoch: this.epoch, index, source, ...picked, sourceEpoch, state: this.state() }
    }
  }

  state(): SamplerState {
    return {
      version: 1,
      of: this.identity(),
      epoch: this.epoch,
      mixing: this.mixer.state(),
      orders: this.started ? this.orders.map((order) => order.state()) : [],
      begun: [...this.begun],
    }
  }

  /**
   * Continues after the batch whose state this is.
   * @throws ERR_EMBEDCORE_INVALID_OPTION when it belongs to other data or options.
   */
  async restore(state: SamplerState): Promise<void> {
    const whole =
      typeof state === 'object' &&
      state !== null &&
      state.version === 1 &&
      Array.isArray(state.orders) &&
      (state.orders.length === 0 || state.orders.length === this.orders.length)
    if (!whole)
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_OPTION',
        `Expected a state of the order of the data but received ${show(state)}`,
      )
    if (state.of !== this.identity())
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_OPTION',
        `Expected a state that was made with the same data and options (${this.identity()}) ` +
          `but received one made with ${state.of}`,
      )
    this.epoch = state.epoch
    this.begun = [...state.begun]
    this.started = state.orders.length > 0
    this.mixer.restore(state.epoch, state.mixing)
    for (const [i, order] of state.orders.entries()) await this.orders[i]!.restore(order)
  }

  private async begin(): Promise<void> {
    this.mixer.start(this.epoch)
    // A source that begins anew within an epoch is not begun again by the next one; it goes on.
    for (const [i, order] of this.orders.entries())
      if (!this.mixer.repeats || this.begun[i] === 0) await order.start(this.begun[i]!++)
    this.started = true
  }

  private endEpoch(): void {
    if (this.mixer.state().batch === 0) throw this.noBatch()
    this.epoch++
    this.started = false
    // The orders of a mixing that repeats go on; their state must outlive the end of the epoch.
    if (this.mixer.repeats) {
      this.mixer.start(this.epoch)
      this.started = true
    }
  }

  private noBatch(): EmbedCoreError {
    const { batchSize, sampler } = this.options
    return new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_DATA',
      `Expected data of which the sampler '${sampler}' can fill a batch of ${batchSize} (dropLast) ` +
        'but it cannot fill one',
    )
  }

  private identity(): string {
    const { sampler, batchSize, dropLast, seed, mixing, temperature, shuffleBuffer, bucketBatches } = this.options
    const parts = [`sampler ${sampler}`, `batchSize ${batchSize}`, `dropLast ${dropLast}`, `seed ${seed}`]
    if (sampler === 'length-aware') parts.push(`bucketBatches ${bucketBatches}`)
    if (this.sources.some(({ stream }) => stream !== null)) parts.push(`shuffleBuffer ${shuffleBuffer}`)
    if (this.sources.length > 1) parts.push(`mixing ${mixing}`)
    if (this.sources.length > 1 && mixing === 'temperature') parts.push(`temperature ${temperature}`)
    const weighted = this.sources.length > 1 && mixing === 'weighted'
    for (const { name, identity, weight, choice } of this.sources) {
      const negatives = choice === null ? '' : `, ${choice.negatives} negatives by seed ${choice.seed}`
      parts.push(`${name}: ${identity}${negatives}${weighted ? `, weight ${weight}` : ''}`)
    }
    return parts.join('; ')
  }
}

/** How often a source is drawn, under the mixings that draw. */
function shareOf({ rows, weight, name }: OpenSource, { mixing, temperature }: ResolvedSampler): number {
  if (mixing !== 'weighted' && mixing !== 'temperature') return 0
  if (rows === null)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected files or lists of rows beside mixing '${mixing}' but the rows of ${show(name)} are an iterable, ` +
        'whose number is not known',
    )
  return mixing === 'weighted' ? weight : rows.facts.count ** (1 / temperature)
}

async function orderOf(
  source: OpenSource,
  number: number,
  { sampler, batchSize, dropLast, seed, shuffleBuffer, bucketBatches }: ResolvedSampler,
  epochs: number,
): Promise<RowOrder> {
  const { rows, stream, name, format, choice } = source
  if (rows === null) {
    if (sampler === 'group-by-label' || sampler === 'cross-language' || sampler === 'length-aware')
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_OPTION',
        `Expected a file or a list of rows for the sampler '${sampler}' but the rows of ${show(name)} ` +
          'are an iterable, which has them in its own order',
      )
    if (epochs > 1 && Number.isFinite(epochs) && !stream!.repeats)
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_OPTION',
        `Expected a function that returns the rows of ${name} for ${epochs} epochs but received an iterable, ` +
          'which has them once',
      )
    return new StreamOrder({
      stream: stream!,
      batchSize,
      dropLast,
      seed,
      source: number,
      buffer: sampler === 'sequential' ? 1 : shuffleBuffer,
      distinct: sampler === 'no-duplicates',
      choice,
    })
  }
  const settings: OrderSettings = { facts: rows.facts, batchSize, dropLast, seed, source: number }
  const { facts } = settings
  const columns = [...format.from, ...Object.values(format.extras)]
  switch (sampler) {
    case 'random':
    case 'sequential':
      return new InOrder(settings, sampler === 'random')
    case 'no-duplicates':
      return new NoDuplicates(settings)
    case 'group-by-label':
      if (facts.labels === null) throw missing(sampler, 'a label or a group', name, columns)
      return PlannedOrder.create(settings, groupByLabel)
    case 'cross-language':
      if (facts.categories === null) throw missing(sampler, 'a category', name, columns)
      if (facts.languages === null) throw missing(sampler, 'a language', name, columns)
      return PlannedOrder.create(settings, crossLanguage)
    case 'length-aware':
      return PlannedOrder.create(settings, (given, epoch) => lengthAware(given, epoch, bucketBatches))
  }
}
