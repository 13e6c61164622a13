/**
 * embedcore: text embeddings inside a Node process.
 * @packageDocumentation
 */
import { devices } from './core/devices.js'
import { invalidOption } from './core/options.js'
import type { Precision } from './core/names.js'
import type { SentenceEmbeddings, TokenEmbeddings } from './core/types.js'
import { quantizationRanges, similarity } from './core/vectors.js'
import { evaluate } from './evaluate/evaluate.js'
import { checkBaseline, readBaseline, writeBaseline, writeItems } from './evaluate/results/baseline.js'
import { evaluationReport } from './evaluate/results/html.js'
import { mtebResult, writeMtebResult } from './evaluate/results/mteb.js'
import { compareEvaluations } from './evaluate/statistics/compare.js'
import { evaluateRun } from './evaluate/trec/evaluate-run.js'
import { writeRun } from './evaluate/trec/write-run.js'
import { fitAllButTheTop } from './linear/all-but-the-top.js'
import { fitPca } from './linear/pca.js'
import { fitProcrustes } from './linear/procrustes.js'
import { LinearTransform } from './linear/transform.js'
import { fitWhitening } from './linear/whitening.js'
import { mapTexts } from './map/map-texts.js'
import { mapReport } from './map/report.js'
import { sharedLoad } from './model/default-model.js'
import type { LoadOptions } from './model/load-options.js'
import { loadModel } from './model/load.js'
import { Model } from './model/model.js'
import type { EncodeOptions, SentenceOptions, TokenOptions } from './model/types.js'
import { DEFAULT_MODEL } from './package-files.js'
import { loadStatic } from './static/load.js'
import { trainStatic } from './static/train.js'
import { StaticVectors } from './static/vectors.js'
import { mineHardNegatives } from './train/mining/mine.js'
import { TrainingRun } from './train/run.js'
import { planTraining, train } from './train/train.js'

/**
 * Loads a model: the path of a directory (sentence-transformers, Hugging Face or model2vec layout), or an id of the
 * hub, whose files are kept in the cache that Python's libraries use too. Without an argument it is the built-in model.
 *
 * Models loaded from the same files with the same `dtype` share their weights.
 * @throws ERR_EMBEDCORE_NOT_FOUND, _HUB, _HUB_OFFLINE, _HUB_CHECKSUM when the files cannot be obtained;
 *   _INVALID_CONFIG, _INVALID_FILE, _MISSING_TENSOR, _SHAPE_MISMATCH, _TOKENIZER_MISMATCH when they are wrong;
 *   _UNSUPPORTED_MODEL, _UNSUPPORTED_MODULE with the name of what is not supported; _INVALID_OPTION, _UNKNOWN_OPTION;
 *   _DEVICE when the device cannot be used or fails; _OUT_OF_MEMORY; _ABORTED; _NATIVE_LOAD with advice when the addon
 *   does not load.
 * @example
 * await using model = await load('sentence-transformers/all-MiniLM-L6-v2')
 * const { data, shape } = await model.encode(['one text', 'another'])
 */
export async function load(pathOrHubId?: string, options?: LoadOptions): Promise<Model> {
  if (pathOrHubId === undefined) return loadModel(DEFAULT_MODEL, options)
  if (typeof pathOrHubId !== 'string' || pathOrHubId === '')
    throw invalidOption('the model', 'the path of a directory or a hub id', pathOrHubId)
  return loadModel(pathOrHubId, options)
}

const defaultModel = sharedLoad(() => loadModel(DEFAULT_MODEL))

export function encode<P extends Precision = 'float32'>(
  texts: string | readonly string[],
  options?: SentenceOptions<P>,
): Promise<SentenceEmbeddings<P>>
export function encode(texts: string | readonly string[], options: TokenOptions): Promise<TokenEmbeddings>
/**
 * `encode` of the built-in model, which is loaded by the first call and kept. See `Model.encode`.
 * @example
 * const { data, shape } = await encode(['one text', 'another'])
 */
export async function encode(
  texts: string | readonly string[],
  options?: EncodeOptions,
): Promise<SentenceEmbeddings<Precision> | TokenEmbeddings> {
  return (await defaultModel()).encode(texts, options)
}

export {
  checkBaseline,
  compareEvaluations,
  devices,
  evaluate,
  evaluateRun,
  evaluationReport,
  fitAllButTheTop,
  fitPca,
  fitProcrustes,
  fitWhitening,
  LinearTransform,
  loadStatic,
  mapReport,
  mapTexts,
  mineHardNegatives,
  Model,
  mtebResult,
  planTraining,
  quantizationRanges,
  readBaseline,
  similarity,
  StaticVectors,
  train,
  TrainingRun,
  trainStatic,
  writeBaseline,
  writeItems,
  writeMtebResult,
  writeRun,
}

/** All functions of the package in one object; each is a named export too. */
export const embedCore = Object.freeze({
  load,
  encode,
  similarity,
  quantizationRanges,
  train,
  planTraining,
  mineHardNegatives,
  evaluate,
  evaluateRun,
  compareEvaluations,
  checkBaseline,
  readBaseline,
  writeBaseline,
  evaluationReport,
  mtebResult,
  writeMtebResult,
  writeItems,
  writeRun,
  loadStatic,
  trainStatic,
  fitWhitening,
  fitPca,
  fitAllButTheTop,
  fitProcrustes,
  mapTexts,
  mapReport,
  devices,
})

export type { DeviceInfo } from './core/devices.js'
export { EmbedCoreError, type ErrorCode } from './core/errors.js'
export type {
  AttentionMode,
  CudaDevice,
  DeviceId,
  DeviceName,
  Dtype,
  EvaluationTask,
  LayerFusion,
  MapMethod,
  ModelKind,
  OutputMode,
  PoolingMode,
  Precision,
  Side,
  SimilarityName,
} from './core/names.js'
export type {
  SentenceEmbeddings,
  TextCounts,
  TextTokens,
  TokenEmbeddings,
  TokenizedText,
  TokenizedTexts,
  VectorData,
} from './core/types.js'
export type { Similarities, SimilarityOptions, Vectors } from './core/vectors.js'
export type { Baseline, BaselineCheck, BaselineOptions, JudgedResult } from './evaluate/results/baseline.js'
export type { ReportedResult, ReportOptions } from './evaluate/results/html.js'
export type { MtebOptions, MtebResult, MtebScores } from './evaluate/results/mteb.js'
export type * from './evaluate/run-types.js'
export type { Compared, CompareOptions } from './evaluate/statistics/compare.js'
export type * from './evaluate/statistics/types.js'
export type * from './evaluate/tasks/types.js'
export type * from './evaluate/types.js'
export type { MappedVectors } from './linear/transform.js'
export type * from './linear/types.js'
export type * from './map/types.js'
export type { DownloadProgress, HubOptions } from './hub/types.js'
export type { DtypeChoice, DtypeMeasurement, ModelInfo } from './model/info.js'
export type { LoadOptions } from './model/load-options.js'
export type * from './model/types.js'
export type * from './static/train-types.js'
export type * from './static/types.js'
export type { BadRowPolicy } from './train/data/bad-rows.js'
export type { TrainingRow } from './train/data/rows.js'
export type {
  FileFormat,
  Prompts,
  RowStreamSource,
  SourceOptions,
  TrainingSource,
  TrainingSources,
} from './train/data/sources.js'
export type { DataProgress } from './train/data/open.js'
export type {
  AnglELossOptions,
  BatchTripletLossOptions,
  ContrastiveLossOptions,
  CoSENTLossOptions,
  CosineSimilarityLossOptions,
  DistillKLDivLossOptions,
  EmbedDistillLossOptions,
  GistLossOptions,
  LossName,
  LossOptions,
  MarginMSELossOptions,
  MatryoshkaOptions,
  MSELossOptions,
  OnlineContrastiveLossOptions,
  RankingLossOptions,
  TrainingLoss,
  TripletLossOptions,
} from './train/loss-types.js'
export type { Layout } from './train/attention.js'
export type { FreezeOptions, LoraOptions, TrainingMethod } from './train/method-options.js'
export type { MinedNegatives } from './train/mining/mine.js'
export type { MiningFormat, MiningOptions, MiningProgress, SamplingStrategy } from './train/mining/options.js'
export type { MinedRow } from './train/mining/output.js'
export type { Filter as MiningFilter } from './train/mining/select.js'
export type { MiningStatistics, ScoreSummary } from './train/mining/statistics.js'
export type { Mixing } from './train/samplers/mixing.js'
export type { SamplerName } from './train/samplers/options.js'
export type { Schedule } from './train/schedule.js'
export type { ProjectionOptions } from './train/stack.js'
export type * from './train/types.js'
