/** mapTexts: texts as points of a plane. */
import { stoppable } from '../core/abort.js'
import { EmbedCoreError, toEmbedCoreError } from '../core/errors.js'
import { MAP_METHODS } from '../core/names.js'
import { abortSignal, callback, checkOptions, either, filledText, integer, invalidOption } from '../core/options.js'
import { oneOf, only } from '../core/options.js'
import { reason } from '../core/show.js'
import { Encoding } from '../evaluate/encoding.js'
import { checkEncoder } from '../evaluate/model-encoder.js'
import { Slices } from '../evaluate/slices.js'
import type { Encoder, EncoderOptions } from '../evaluate/types.js'
import { checkEncode } from '../linear/options.js'
import { fitPca } from '../linear/pca.js'
import type { VectorRows } from '../linear/types.js'
import type { Model } from '../model/model.js'
import { sampleTexts, type SampledText } from './sample.js'
import type { MapOptions, MapProgress, MapSource, TextMap } from './types.js'
import { umapPoints } from './umap.js'

export const MAP_RULES = {
  method: oneOf(...MAP_METHODS),
  neighbors: integer(2, 1000),
  minDist: only<number>('a number from 0 to 1', (value) => typeof value === 'number' && value >= 0 && value <= 1),
  epochs: integer(1, 100_000),
  seed: integer(0),
  maxPoints: integer(3, 200_000),
  encode: only<object>('an object of options', (value) => {
    return typeof value === 'object' && value !== null && !Array.isArray(value)
  }),
  column: either(filledText, integer(1)),
  labelColumn: either(filledText, integer(1)),
  batchSize: integer(1, 65536),
  signal: abortSignal,
  onProgress: callback<(progress: MapProgress) => void>(),
}

/** UMAP sees this many leading directions; more cost time, and their variance is noise to it. */
const UMAP_DIMENSIONS = 50

type Settings = ReturnType<typeof settingsOf>

/**
 * A map of texts: their vectors in two dimensions, by PCA or UMAP. `mapReport` makes a page of it.
 *
 * `model` is a model or any object with `encode`; `texts` is a list or iterable of strings or of `{ text, label }`, or
 * the path of a file. Of more than `maxPoints` texts a random sample is mapped; `total` of the result is how many there
 * were. UMAP runs in a worker thread on the 50 directions of greatest variance. The same seed gives the same map.
 * @throws ERR_EMBEDCORE_INVALID_DATA for fewer than three texts, or fewer than UMAP's neighbours, and for files that
 *   cannot be read; _INVALID_TEXT; _INVALID_OPTION, _UNKNOWN_OPTION; _ABORTED; _OUT_OF_MEMORY; what encode throws.
 * @example
 * const map = await mapTexts(model, 'products.csv', { column: 'title', labelColumn: 'category', method: 'umap' })
 * await writeFile('map.html', mapReport(map))
 */
export async function mapTexts(model: Model | Encoder, texts: MapSource, options?: MapOptions): Promise<TextMap> {
  const encoder = checkEncoder(model)
  const settings = settingsOf(checkOptions(options, MAP_RULES))
  const work = async (stop: AbortController): Promise<TextMap> => {
    const slices = new Slices(stop.signal)
    const sample = await sampleTexts(texts, { ...settings, signal: stop.signal }, slices)
    const least = settings.method === 'umap' ? Math.max(3, (settings.neighbors ?? 2) + 1) : 3
    if (sample.texts.length < least)
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_DATA',
        `Expected ${least} texts or more for a map but found ${sample.texts.length}`,
      )
    const rows = await encoded(encoder, sample.texts, settings, stop, slices)
    const { points, explainedVariance } = await pointsOf(rows, settings, stop.signal)
    return {
      method: settings.method,
      model: encoder.info?.name ?? '',
      points: sample.texts.map((text, i) => ({ ...text, x: points[2 * i]!, y: points[2 * i + 1]! })),
      total: sample.total,
      explainedVariance,
    }
  }
  return stoppable(settings.signal, work, toEmbedCoreError)
}

function settingsOf(given: Partial<Record<string, unknown>> & MapOptions) {
  const { method = 'pca' } = given
  if (method !== 'umap')
    for (const name of ['neighbors', 'minDist', 'epochs'] as const)
      if (given[name] !== undefined) throw invalidOption(name, "nothing without method 'umap'", given[name])
  return {
    method,
    neighbors: given.neighbors,
    minDist: given.minDist ?? 0.1,
    epochs: given.epochs ?? 0,
    seed: given.seed ?? 1,
    maxPoints: given.maxPoints ?? 5000,
    encode: checkEncode(given.encode),
    column: given.column,
    labelColumn: given.labelColumn,
    batchSize: given.batchSize ?? 256,
    signal: given.signal,
    onProgress: given.onProgress,
  }
}

function tell({ onProgress }: Settings, progress: MapProgress): void {
  try {
    onProgress?.(progress)
  } catch (error) {
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `The call's onProgress threw: ${reason(error)}`, {
      cause: error,
    })
  }
}

async function encoded(
  encoder: Encoder,
  texts: readonly SampledText[],
  settings: Settings,
  stop: AbortController,
  slices: Slices,
): Promise<VectorRows> {
  const report = ({ texts: done }: { texts: number }): void =>
    tell(settings, { phase: 'encode', done, total: texts.length })
  const encoding = new Encoding(encoder, settings.encode as EncoderOptions, stop, slices, report)
  const { data, width } = await encoding.all(
    texts.map(({ text }) => text),
    settings.batchSize,
    {},
  )
  return { data, shape: [texts.length, width] }
}

async function pointsOf(
  rows: VectorRows,
  settings: Settings,
  signal: AbortSignal,
): Promise<{ points: Float32Array | Float64Array; explainedVariance: [number, number] | null }> {
  const [count, width] = rows.shape
  const isPca = settings.method === 'pca'
  const dimensions = Math.min(width, isPca ? 2 : UMAP_DIMENSIONS)
  const pca = await fitPca(rows, { dimensions, normalize: false, signal })
  const { data } = await pca.apply(rows, { signal })
  if (isPca) {
    const variances = pca.eigenvalues!.map((value) => Math.max(0, value))
    const whole = variances.reduce((sum, value) => sum + value, 0)
    const flat =
      dimensions === 2 ? data : Float32Array.from({ length: 2 * count }, (_, i) => (i % 2 ? 0 : data[i / 2]!))
    return { points: flat, explainedVariance: [variances[0]! / whole, (variances[1] ?? 0) / whole] }
  }
  const points = await umapPoints(data as Float32Array<ArrayBuffer>, dimensions, {
    neighbors: settings.neighbors ?? Math.min(15, count - 1),
    minDist: settings.minDist,
    epochs: settings.epochs,
    seed: settings.seed,
    signal,
    onRound: (done, total) => tell(settings, { phase: 'umap', done, total }),
  })
  return { points, explainedVariance: null }
}
