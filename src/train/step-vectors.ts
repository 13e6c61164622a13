/** Embeddings by other models for the texts of a batch: a guide's, which mask false negatives, and a teacher's. */
import { invalidOption } from '../core/options.js'
import { loadModel } from '../model/load.js'
import type { Model } from '../model/model.js'
import type { TrainingBatch } from './data/loader.js'
import type { CheckedLoss } from './losses.js'
import type { ResolvedTrain } from './options.js'
import { NO_VECTORS, type StepVectors } from './step-input.js'

export class OtherModels {
  private constructor(
    private readonly guide: Model | null,
    private readonly teacher: Model | null,
  ) {}

  static async load(losses: readonly CheckedLoss[], options: ResolvedTrain, signal: AbortSignal): Promise<OtherModels> {
    const open = async (name: string | null | undefined): Promise<Model | null> => {
      if (name === null || name === undefined) return null
      const { hub, threads } = options
      return loadModel(name, { ...hub, device: options.device, signal, ...(threads === null ? {} : { threads }) })
    }
    const guide = await open(losses.find((loss) => loss.guide !== null)?.guide)
    try {
      return new OtherModels(guide, await open(losses.find((loss) => loss.teacher !== null)?.teacher))
    } catch (error) {
      await guide?.dispose()
      throw error
    }
  }

  /** @throws ERR_EMBEDCORE_INVALID_OPTION when the teacher has another number of dimensions than the student. */
  checkDimension(dimension: number): void {
    const width = this.teacher?.info.dimension
    if (width === undefined || width === dimension) return
    throw invalidOption(
      'teacher',
      `a model of ${dimension} dimensions, as the one that is trained (projection: ${width} gives that one so many),`,
      this.teacher!.info.name,
    )
  }

  /** A teacher's embeddings are those of the first text of each row, for all texts of the row. */
  async vectors(batch: TrainingBatch, signal: AbortSignal): Promise<StepVectors> {
    if (this.guide === null && this.teacher === null) return NO_VECTORS
    const rows = batch.rows.length
    const vectors = { ...NO_VECTORS }
    if (this.guide !== null) {
      const texts = batch.columns.flatMap((column) => column.texts)
      const { data, shape } = await this.guide.encode(texts, { signal })
      vectors.guide = data
      vectors.guideWidth = shape[1]
    }
    if (this.teacher !== null) {
      const { data, shape } = await this.teacher.encode(batch.columns[0]!.texts.slice(0, rows), { signal })
      vectors.teacher = data
      vectors.teacherWidth = shape[1]
    }
    return vectors
  }

  async dispose(): Promise<void> {
    await this.guide?.dispose()
    await this.teacher?.dispose()
  }
}
