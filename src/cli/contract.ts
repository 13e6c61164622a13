/**
 * The dependencies of the commands: the library as one small interface, and the streams that they read and write.
 * Commands use nothing else, so tests can run them on a small fake core, and `main.ts` runs them on the real one.
 */
import type { Readable, Writable } from 'node:stream'
import type { DeviceInfo } from '../core/devices.js'
import type { Precision, SimilarityName } from '../core/names.js'
import type { SentenceEmbeddings, TokenEmbeddings } from '../core/types.js'
import type { ModelInfo } from '../model/info.js'
import type { LoadOptions } from '../model/load-options.js'
import type { Vectors } from '../core/vectors.js'
import type { EncodeOptions } from '../model/types.js'
import type { MapOptions, MapReportOptions, MapSource, TextMap } from '../map/types.js'
import type { StaticTrainingEvent, StaticTrainingResult, TrainStaticOptions } from '../static/train-types.js'
import type { LoadStaticOptions } from '../static/types.js'
import type { StaticVectors } from '../static/vectors.js'
import type { TrainingEvent, TrainingPlan, TrainOptions, TrainResult } from '../train/types.js'
import type { Baseline, BaselineCheck, BaselineOptions, JudgedResult } from '../evaluate/results/baseline.js'
import type { ReportedResult } from '../evaluate/results/html.js'
import type { MtebOptions } from '../evaluate/results/mteb.js'
import type { RunEvaluation, RunOptions } from '../evaluate/run-types.js'
import type { Encoder, EncoderOptions, EvaluateOptions, Evaluation, Evaluator } from '../evaluate/types.js'

export interface CoreModel {
  readonly info: ModelInfo
  encode(texts: readonly string[], options?: EncoderOptions): Promise<SentenceEmbeddings>
  encode(texts: readonly string[], options?: EncodeOptions): Promise<SentenceEmbeddings<Precision> | TokenEmbeddings>
  similarity(
    a: Vectors,
    b: Vectors,
    options?: { metric?: SimilarityName },
  ): Promise<{ data: Float32Array; shape: readonly [number, number] }>
  dispose(): void | Promise<void>
}

export interface Core {
  load(pathOrHubId: string | undefined, options: LoadOptions): Promise<CoreModel>
  devices(): Promise<readonly DeviceInfo[]>
  evaluate(model: Encoder, evaluator: Evaluator, options: EvaluateOptions): Promise<Evaluation>
  evaluateRun(options: RunOptions): Promise<RunEvaluation>
  checkBaseline(path: string, judged: JudgedResult, options: BaselineOptions): Promise<BaselineCheck>
  readBaseline(path: string): Promise<Baseline>
  writeBaseline(path: string, judged: JudgedResult): Promise<void>
  writeItems(path: string, result: Evaluation | RunEvaluation): Promise<void>
  writeMtebResult(
    directory: string,
    model: { name: string; revision?: string | undefined },
    result: Evaluation | RunEvaluation,
    options: MtebOptions,
  ): Promise<string>
  evaluationReport(results: readonly ReportedResult[]): Promise<string>
  mapTexts(model: Encoder, texts: MapSource, options: MapOptions): Promise<TextMap>
  mapReport(map: TextMap, options: MapReportOptions): string
  train(options: TrainOptions): PromiseLike<TrainResult> & AsyncIterable<TrainingEvent>
  planTraining(options: TrainOptions): Promise<TrainingPlan>
  trainStatic(options: TrainStaticOptions): PromiseLike<StaticTrainingResult> & AsyncIterable<StaticTrainingEvent>
  loadStatic(path: string, options: LoadStaticOptions): Promise<StaticVectors>
}

export interface CliIO {
  /** Loaded on first use, so that help, version and usage errors need no addon; `doctor` reports why loading fails. */
  core: () => Promise<Core>
  stdin: Readable
  stdout: Writable
  stderr: Writable
  isTTY: { stdin: boolean; stdout: boolean; stderr: boolean }
  /** Aborted by SIGINT and similar signals: work stops between layers, and unfinished output is removed. */
  signal?: AbortSignal
}
