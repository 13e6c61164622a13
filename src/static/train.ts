/** `trainStatic`: Word2Vec on a corpus. */
import { rm } from 'node:fs/promises'
import { abortError } from '../core/abort.js'
import { toEmbedCoreError } from '../core/errors.js'
import { native } from '../core/native.js'
import type { RawStaticProgress, RawStaticSummary, RawStaticTrainer } from '../core/static-binding.js'
import { TrainingRun } from '../train/run.js'
import { type CheckpointData, identityOf, metadataOf, readCheckpoint, refuseOtherRun } from './checkpoint.js'
import { CorpusText } from './corpus.js'
import { checkTrainStatic, type TrainSettings } from './train-options.js'
import type { StaticTrainingEvent, StaticTrainingResult, StaticVocabulary, TrainStaticOptions } from './train-types.js'
import { StaticVectors } from './vectors.js'

type Emit = (event: StaticTrainingEvent) => Promise<void>

/**
 * Trains vectors of words: skip-gram or CBOW, with negative sampling or hierarchical softmax, with or without
 * fastText's subwords and phrases. Await the run for its result, or iterate it for its events; it never blocks the
 * event loop.
 *
 * The corpus is read once and kept as numbers of words in a temporary file of 4 bytes a token.
 * @throws ERR_EMBEDCORE_INVALID_OPTION, _UNKNOWN_OPTION; _NOT_FOUND, _INVALID_FILE for a corpus that cannot be read;
 *   _INVALID_DATA for one that is not UTF-8 or has too few words; _WRITE_FAILED for temporary files and checkpoints;
 *   _ABORTED, after a checkpoint where one was asked for; _OUT_OF_MEMORY.
 * @example
 * const run = trainStatic({ corpus: 'wiki.txt', sg: true, window: 8, negative: 10 })
 * for await (const event of run) if (event.type === 'progress') console.log(event.epoch, event.tokensPerSecond)
 * const { vectors } = await run
 * await vectors.save('vectors.txt')
 */
export function trainStatic(options: TrainStaticOptions): TrainingRun<StaticTrainingEvent, StaticTrainingResult> {
  const signal = (options as Partial<TrainStaticOptions> | undefined)?.signal
  return new TrainingRun(
    async (emit, stop) => {
      const settings = checkTrainStatic(options)
      if (stop.aborted) throw abortError(stop)
      const trainer = new StaticTraining(settings, emit, stop)
      try {
        return await trainer.run()
      } catch (error) {
        throw stop.aborted ? abortError(stop) : toEmbedCoreError(error)
      } finally {
        trainer.dispose()
      }
    },
    isSignal(signal) ? signal : null,
  )
}

const isSignal = (value: unknown): value is AbortSignal =>
  typeof value === 'object' && value !== null && 'aborted' in value && 'addEventListener' in value

const seconds = (): number => performance.now() / 1000

class StaticTraining {
  private readonly raw: RawStaticTrainer
  private readonly begin = seconds()
  private readonly abort = (): void => this.raw.abort()
  private loss = NaN
  private saved = seconds()

  constructor(
    private readonly settings: TrainSettings,
    private readonly emit: Emit,
    private readonly stop: AbortSignal,
  ) {
    this.raw = native().staticTrainer(settings.raw)
    stop.addEventListener('abort', this.abort, { once: true })
  }

  dispose(): void {
    this.stop.removeEventListener('abort', this.abort)
    this.raw.dispose()
  }

  async run(): Promise<StaticTrainingResult> {
    const invalidWords = await this.read()
    const { blocks, corpusHash, ...counted } = await this.call<RawStaticSummary>((done) => this.raw.prepare(done))
    const vocabulary: StaticVocabulary = { ...counted, invalidTokens: counted.invalidTokens + invalidWords }
    await this.emit({ type: 'vocabulary', ...vocabulary })
    const begin = seconds()
    const state: CheckpointData = { options: identityOf(this.settings.raw), corpusHash, block: 0 }
    const first = await this.resume(state)
    const last = await this.train(vocabulary, blocks, state, first)
    const { checkpoint } = this.settings
    if (checkpoint !== null) await rm(checkpoint, { force: true })
    const trainingSeconds = seconds() - begin
    return {
      ...vocabulary,
      vectors: StaticVectors.of(this.raw.vectors()),
      epochs: this.settings.raw.epochs,
      loss: this.loss,
      trainingSeconds,
      tokensPerSecond: (last - first) / trainingSeconds,
      seconds: seconds() - this.begin,
    }
  }

  /** Reads the corpus; returns how many words JavaScript left out. */
  private async read(): Promise<number> {
    const text = new CorpusText(this.settings, this.stop)
    let told = seconds()
    for await (const piece of text.pieces()) {
      const { tokens, words } = await this.call<{ tokens: number; words: number }>((done) => this.raw.add(piece, done))
      if (seconds() - told < this.settings.progressSeconds) continue
      told = seconds()
      await this.emit({ type: 'reading', tokens, words })
    }
    return text.invalidWords
  }

  /** Puts the trainer where the checkpoint was; returns the words trained before. */
  private async resume(state: CheckpointData): Promise<number> {
    const { checkpoint, resume } = this.settings
    const found = resume && checkpoint !== null ? await readCheckpoint(checkpoint) : null
    if (found === null || checkpoint === null) return 0
    refuseOtherRun(found, state, checkpoint)
    state.block = found.block
    return (await this.call<RawStaticProgress>((done) => this.raw.readState(checkpoint, found.block, done))).tokens
  }

  /** Trains to the end; returns the words trained. */
  private async train(
    { tokens: epochTokens }: StaticVocabulary,
    blocks: number,
    state: CheckpointData,
    first: number,
  ): Promise<number> {
    const { progressSeconds, checkpointSeconds, checkpoint, raw } = this.settings
    const begin = seconds()
    this.saved = begin
    let tokens = first
    while (state.block < blocks) {
      const done = await this.call<RawStaticProgress>((settled) => this.raw.train(progressSeconds, settled))
      const passed = seconds() - begin
      tokens = done.tokens
      state.block = done.block
      if (!Number.isNaN(done.loss)) this.loss = done.loss
      const epoch = tokens / epochTokens
      await this.emit({
        type: 'progress',
        epoch,
        epochs: raw.epochs,
        tokens,
        totalTokens: epochTokens * raw.epochs,
        alpha: done.alpha,
        loss: done.loss,
        tokensPerSecond: (tokens - first) / passed,
        seconds: passed,
      })
      const due = this.stop.aborted || seconds() - this.saved >= checkpointSeconds
      if (checkpoint !== null && due && state.block < blocks) await this.save(checkpoint, state, epoch)
      if (this.stop.aborted) throw abortError(this.stop)
    }
    return tokens
  }

  private async save(path: string, state: CheckpointData, epoch: number): Promise<void> {
    await this.call((done) => this.raw.writeState(path, metadataOf(state), done))
    this.saved = seconds()
    await this.emit({ type: 'checkpoint', path, epoch })
  }

  private call<T = void>(begin: (done: (error: Error | null, result?: T) => void) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      begin((error, result) => (error === null ? resolve(result as T) : reject(error)))
    })
  }
}
