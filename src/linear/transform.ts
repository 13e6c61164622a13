/** LinearTransform: a linear map of vectors, the result of fitWhitening and its kin. */
import { EmbedCoreError, toEmbedCoreError } from '../core/errors.js'
import { abortSignal, checkOptions, invalidOption, only } from '../core/options.js'
import { rowsOf as rowViews, withMethods } from '../core/results.js'
import { similarity } from '../core/vectors.js'
import { Slices } from '../evaluate/slices.js'
import type { EncoderOptions } from '../evaluate/types.js'
import { Model } from '../model/model.js'
import { type Corpus, rankOf, type Spread } from './moments.js'
import { checkEncode, type CheckedFit } from './options.js'
import { saveDense } from './dense-file.js'
import { saveTransformedModel } from './save-model.js'
import type { ApplyOptions, LinearTransformKind, MapLoss, SaveModelOptions, VectorRows } from './types.js'
import { rowsOf } from './vector-source.js'
import type { Affine } from './weight.js'

/** The rows of `transform.apply`. */
export interface MappedVectors extends VectorRows {
  /**
   * View of row i (no copy).
   * @throws ERR_EMBEDCORE_INVALID_OPTION when there is no row i.
   */
  row(i: number): Float32Array
}

interface TransformParts extends Affine {
  kind: LinearTransformKind
  inFeatures: number
  normalize: boolean
  /** Of the texts that it was fitted to; null = it was fitted to vectors. */
  encode: EncoderOptions | null
  vectors: number
  rank: number
  eigenvalues: Float64Array | null
  loss: MapLoss | null
}

/** Only fits create transforms, also for callers without TypeScript. */
const KEY = Symbol('LinearTransform')
let create: (parts: TransformParts) => LinearTransform

/** The result of a fit to a corpus. */
export const createTransform = ({
  fit,
  corpus,
  spread,
  ...rest
}: Affine & { kind: LinearTransformKind; fit: CheckedFit; corpus: Corpus; spread: Spread }): LinearTransform =>
  create({
    ...rest,
    inFeatures: spread.width,
    normalize: fit.normalize,
    encode: corpus.model === null ? null : fit.encode,
    vectors: spread.count,
    rank: rankOf(spread),
    eigenvalues: spread.variances,
    loss: null,
  })

/** The result of a fit to pairs of vectors. */
export const createMap = (parts: Omit<TransformParts, 'kind' | 'encode' | 'eigenvalues'>): LinearTransform =>
  create({ ...parts, kind: 'procrustes', encode: null, eigenvalues: null })

/**
 * A linear map y = x weight^T + bias, after which y gets length 1 if `normalize` is set. It maps vectors with `apply`,
 * and is saved as a module of sentence-transformers, alone or in a model.
 */
export class LinearTransform {
  readonly kind: LinearTransformKind
  /** Numbers of the vectors that it takes. */
  readonly inFeatures: number
  /** Numbers of the vectors that it gives. */
  readonly outFeatures: number
  /** [outFeatures, inFeatures] */
  readonly weight: Float32Array
  /** [outFeatures] */
  readonly bias: Float32Array
  /** Whether mapped vectors get length 1. */
  readonly normalize: boolean
  /** Vectors, or pairs of them, that it was fitted to. */
  readonly vectors: number
  /** Directions in which the vectors vary; of Procrustes, in which they vary together. */
  readonly rank: number
  /** The variances of the vectors in all directions, the greatest first; null for Procrustes. */
  readonly eigenvalues: Float64Array | null
  /** Of Procrustes, what was measured on pairs that were held out; null where there are none. */
  readonly loss: MapLoss | null
  private readonly encode: EncoderOptions | null

  static {
    create = (parts) => new LinearTransform(parts, KEY)
  }

  private constructor(parts: TransformParts, key: symbol) {
    if (key !== KEY)
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_OPTION',
        'Expected fitWhitening() or another fit for a new transform but received new LinearTransform()',
      )
    this.kind = parts.kind
    this.inFeatures = parts.inFeatures
    this.outFeatures = parts.bias.length
    this.weight = parts.weight
    this.bias = parts.bias
    this.normalize = parts.normalize
    this.vectors = parts.vectors
    this.rank = parts.rank
    this.eigenvalues = parts.eigenvalues
    this.loss = parts.loss
    this.encode = parts.encode
  }

  /**
   * Maps vectors, off the event loop. They must be made as those of the fit: `normalize: false`, and the same layers,
   * pooling and prompt. Vectors that are mapped to 0 stay 0.
   * @throws ERR_EMBEDCORE_SHAPE_MISMATCH, _INVALID_OPTION, _UNKNOWN_OPTION, _ABORTED, _OUT_OF_MEMORY.
   * @example
   * const { data, shape } = await whitening.apply(await model.encode(texts, { normalize: false }))
   */
  async apply(vectors: VectorRows, options?: ApplyOptions): Promise<MappedVectors> {
    const { signal } = checkOptions(options, { signal: abortSignal })
    const { data: rows, width } = rowsOf(vectors, 'vectors')
    if (width !== this.inFeatures)
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_SHAPE_MISMATCH',
        `Expected vectors of ${this.inFeatures} numbers but received vectors of ${width}`,
      )
    const count = rows.length / width
    const { data } = await similarity(
      { data: rows, shape: [count, width] },
      { data: this.weight, shape: [this.outFeatures, width] },
      { metric: 'dot', ...(signal === undefined ? {} : { signal }) },
    )
    await this.finish(data, signal)
    return withMethods(
      { data, shape: [count, this.outFeatures] as const },
      { row: rowViews(data, count, this.outFeatures) },
    )
  }

  /** Adds the bias and makes lengths 1, in place. */
  private async finish(data: Float32Array, signal: AbortSignal | undefined): Promise<void> {
    const slices = new Slices(signal ?? new AbortController().signal)
    const { bias, outFeatures: width } = this
    for (let start = 0; start < data.length; start += width) {
      if (slices.over) await slices.next()
      let squares = 0
      for (let d = 0; d < width; d++) {
        const value = Math.fround(data[start + d]! + bias[d]!)
        data[start + d] = value
        squares += value * value
      }
      if (!this.normalize || squares === 0) continue
      const factor = 1 / Math.sqrt(squares)
      for (let d = 0; d < width; d++) data[start + d]! *= factor
    }
  }

  /**
   * Writes the map as a Dense module of sentence-transformers: config.json and model.safetensors, with `linear.weight`
   * and `linear.bias`. Normalisation is a module of its own there, and not in it.
   * @throws ERR_EMBEDCORE_WRITE_FAILED, _INVALID_OPTION.
   * @example
   * await whitening.save('whitening') // in Python: Dense.load('whitening')
   */
  async save(directory: string): Promise<void> {
    await saveDense(checkDirectory(directory), this)
  }

  /**
   * Writes the model with the map behind its pooling and its own modules, and before its normalisation, as a directory
   * that `load` and sentence-transformers open. The vectors of the fit are what the saved model computes before the
   * map: with the pooling and the layer of the fit's `encode` options. A layer other than the last is for models whose
   * layers end in their norm (BERT and its kin); layers above it are left out of the files.
   * @throws ERR_EMBEDCORE_SHAPE_MISMATCH when the model gives vectors of another length; _UNSUPPORTED_MODEL for a model
   *   with an adapter, and for what no directory can say: several layers, another attention, an adapter of the call;
   *   _UNSUPPORTED_MODULE for WeightedLayerPooling; _INVALID_OPTION; _WRITE_FAILED, and then the directory has no
   *   modules.json.
   * @example
   * await whitening.saveModel(model, 'whitened')
   * const whitened = await load('whitened')
   */
  async saveModel(model: Model, directory: string, options?: SaveModelOptions): Promise<void> {
    const output = checkDirectory(directory)
    if (!(model instanceof Model)) throw invalidOption('model', 'a model of load()', model)
    const given = checkOptions(options, { encode: only<object>('an object of options', isObject) })
    const encode = given.encode === undefined ? this.encode : { normalize: false, ...checkEncode(given.encode) }
    try {
      await saveTransformedModel(this, model, encode, output)
    } catch (error) {
      throw toEmbedCoreError(error)
    }
  }
}

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value)

function checkDirectory(given: unknown): string {
  if (typeof given === 'string' && given !== '') return given
  throw invalidOption('directory', 'the path of a directory', given)
}
