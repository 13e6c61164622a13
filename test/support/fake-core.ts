/**
 * A fake library with the interface that the command uses. Vectors are computed from the characters of a text, so that
 * tests know every output byte. It records its calls and can be slow, fail, or be missing.
 */
import { PassThrough, Readable, Writable } from 'node:stream'
import type { CliIO, Core, CoreModel } from '../../src/cli/contract.js'
import { runCli } from '../../src/cli/run.js'
import type { DeviceInfo } from '../../src/core/devices.js'
import { EmbedCoreError } from '../../src/core/errors.js'
import { evaluate } from '../../src/evaluate/evaluate.js'
import { checkBaseline, readBaseline, writeBaseline, writeItems } from '../../src/evaluate/results/baseline.js'
import { evaluationReport } from '../../src/evaluate/results/html.js'
import { writeMtebResult } from '../../src/evaluate/results/mteb.js'
import { evaluateRun } from '../../src/evaluate/trec/evaluate-run.js'
import { mapTexts } from '../../src/map/map-texts.js'
import { mapReport } from '../../src/map/report.js'
import { loadStatic } from '../../src/static/load.js'
import { trainStatic } from '../../src/static/train.js'
import { resolveTrainOptions } from '../../src/train/options.js'
import { prepare } from '../../src/train/prepare.js'
import { startTraining } from '../../src/train/train.js'
import { fakeTraining } from '../train/fake-training.js'
import type { Precision } from '../../src/core/names.js'
import type { SentenceEmbeddings, TokenEmbeddings, VectorData } from '../../src/core/types.js'
import type { ModelInfo } from '../../src/model/info.js'
import type { LoadOptions } from '../../src/model/load-options.js'
import type { EncodeOptions } from '../../src/model/types.js'

export const FAKE_DIMENSION = 4

/** The fake's vector of a text: fractions that float32 cannot represent exactly. */
export function fakeVector(text: string, dimension = FAKE_DIMENSION): Float32Array {
  const sums = new Float32Array(dimension)
  ;[...text].forEach((character, i) => (sums[i % dimension]! += character.codePointAt(0)! / 97))
  return sums.map((sum, d) => sum / (text.length + 1) + d / 10)
}

/** Words and two special tokens. */
export const fakeTokens = (text: string) => text.split(/\s+/).filter((word) => word !== '')

export const FAKE_INFO: ModelInfo = {
  name: 'fake',
  path: '/models/fake',
  adapter: null,
  kind: 'transformer',
  family: 'bert',
  dimension: FAKE_DIMENSION,
  hiddenSize: FAKE_DIMENSION,
  layers: 2,
  heads: 2,
  kvHeads: 1,
  vocabSize: 100,
  maxTokens: 8,
  parameters: 12_345_678,
  fileDtype: 'float16',
  dtype: 'float32',
  dtypeChoice: null,
  weightBytes: 3 * 2 ** 20,
  pooling: ['mean', 'max'],
  normalize: true,
  prompts: { query: 'q: ', document: '' },
  defaultPromptName: 'query',
  similarity: 'cosine',
  attention: 'bidirectional',
  device: 'cpu',
  isa: 'avx2',
  threads: 2,
}

export interface FakeCore extends Core {
  loads: { model: string | undefined; options: LoadOptions }[]
  calls: { texts: readonly string[]; options: EncodeOptions }[]
  disposed: number
}

export interface FakeBehaviour {
  loadError?: Error
  encodeError?: (texts: readonly string[]) => Error | null
  /** Milliseconds that a call takes, unless its signal aborts it. */
  delay?: number
  cpuReason?: string
  info?: Partial<ModelInfo>
  /** Devices besides the CPU. */
  gpus?: readonly DeviceInfo[]
}

/** The entry of a machine without a CUDA backend. */
export const NO_CUDA: DeviceInfo = {
  id: 'cuda',
  name: '',
  backend: 'cuda',
  computeCapability: null,
  memoryBytes: 0,
  freeBytes: 0,
  driver: null,
  usable: false,
  reason: 'the CUDA backend is not there',
  detail: { library: '/lib/libembedcore_cuda.so' },
}

export function fakeCore({
  loadError,
  encodeError,
  delay = 0,
  cpuReason,
  info,
  gpus = [NO_CUDA],
}: FakeBehaviour = {}): FakeCore {
  const core: FakeCore = {
    loads: [],
    calls: [],
    disposed: 0,
    devices: async () => [
      {
        id: 'cpu',
        name: 'Fake processor',
        backend: 'cpu-avx2',
        computeCapability: null,
        memoryBytes: 2 ** 34,
        freeBytes: 2 ** 33,
        driver: null,
        usable: cpuReason === undefined,
        reason: cpuReason ?? null,
        detail: {
          isa: 'avx2',
          features: ['avx2', 'fma'],
          cores: 2,
          refused: [{ isa: 'avx512', reason: 'the processor lacks it' }],
        },
      },
      ...gpus,
    ],
    evaluate,
    evaluateRun,
    checkBaseline,
    readBaseline,
    writeBaseline,
    writeItems,
    writeMtebResult,
    evaluationReport,
    mapTexts,
    mapReport,
    train: (options) => startTraining(options, fakeTraining().training),
    trainStatic,
    loadStatic,
    planTraining: async (options) => {
      const prepared = await prepare(resolveTrainOptions(options), fakeTraining().training())
      await prepared.data.close()
      return prepared.plan
    },
    load: async (model, options) => {
      core.loads.push({ model, options })
      if (loadError !== undefined) throw loadError
      options.onProgress?.({ file: 'model.safetensors', loaded: 1, total: 2 })
      return fakeModel(core)
    },
  }
  const fakeModel = (owner: FakeCore): CoreModel => ({
    info: { ...FAKE_INFO, ...info },
    encode: (async (texts: readonly string[], options: EncodeOptions = {}) => {
      owner.calls.push({ texts, options })
      await new Promise<void>((resolve, reject) => {
        const abort = () => reject(new EmbedCoreError('ERR_EMBEDCORE_ABORTED', 'the call was aborted'))
        if (options.signal?.aborted) return abort()
        const stopped = () => (clearTimeout(timer), abort())
        const timer = setTimeout(() => (options.signal?.removeEventListener('abort', stopped), resolve()), delay)
        options.signal?.addEventListener('abort', stopped, { once: true })
      })
      const error = encodeError?.(texts)
      if (error) throw error
      options.onProgress?.({ done: texts.length, total: texts.length, tokens: 1 })
      return options.output === 'token' ? tokenResult(texts) : sentenceResult(texts, options)
    }) as CoreModel['encode'],
    similarity: async (a, b, { metric } = {}) => {
      const [x, y] = [a, b] as SentenceEmbeddings[]
      const data = new Float32Array(x!.shape[0] * y!.shape[0])
      for (let i = 0; i < x!.shape[0]; i++)
        for (let j = 0; j < y!.shape[0]; j++)
          data[i * y!.shape[0] + j] = fakeScore(
            x!.row(i) as Float32Array,
            y!.row(j) as Float32Array,
            metric ?? 'cosine',
          )
      return { data, shape: [x!.shape[0], y!.shape[0]] }
    },
    dispose: () => void owner.disposed++,
  })
  return core
}

export function fakeScore(a: Float32Array, b: Float32Array, metric: string): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, d) => sum + value * y[d]!, 0)
  return metric === 'dot' ? dot(a, b) : dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b))
}

function counted(texts: readonly string[], limit: number) {
  const lengths = texts.map((text) => fakeTokens(text).length + 2)
  return {
    tokenCounts: Int32Array.from(lengths, (n) => Math.min(n, limit)),
    omittedTokens: Int32Array.from(lengths, (n) => Math.max(0, n - limit)),
    unknownTokens: new Int32Array(texts.length),
  }
}

function sentenceResult(texts: readonly string[], options: EncodeOptions): SentenceEmbeddings<Precision> {
  const columns = options.dimensions ?? FAKE_DIMENSION
  const float = new Float32Array(texts.length * columns)
  texts.forEach((text, i) => float.set(fakeVector(text, columns), i * columns))
  const precision = options.precision ?? 'float32'
  const ranges =
    precision === 'int8' || precision === 'uint8' ? (options.ranges ?? rangesOf(float, columns)) : undefined
  let data: VectorData<Precision> = float
  let width = columns
  if (ranges !== undefined) {
    const steps = [...float].map((value, k) => {
      const [low, high] = [ranges[k % columns]!, ranges[columns + (k % columns)]!]
      return Math.max(0, Math.min(255, Math.floor((value - low) / ((high - low) / 255))))
    })
    data = precision === 'int8' ? Int8Array.from(steps, (n) => n - 128) : Uint8Array.from(steps)
  } else if (precision !== 'float32') {
    width = Math.ceil(columns / 8)
    const bits = Uint8Array.from({ length: texts.length * width }, () => 0b1111_0000)
    data = precision === 'ubinary' ? bits : Int8Array.from(bits, (n) => n - 128)
  }
  const row = (i: number) => data.subarray(i * width, (i + 1) * width) as VectorData<Precision>
  return {
    data,
    precision,
    row,
    ranges,
    shape: [texts.length, width],
    ...counted(texts, options.maxTokens ?? FAKE_INFO.maxTokens),
    *[Symbol.iterator]() {
      for (let i = 0; i < texts.length; i++) yield row(i)
    },
  }
}

function rangesOf(data: Float32Array, columns: number): Float32Array {
  const ranges = new Float32Array(2 * columns).fill(Infinity, 0, columns).fill(-Infinity, columns)
  data.forEach((value, k) => {
    ranges[k % columns] = Math.min(ranges[k % columns]!, value)
    ranges[columns + (k % columns)] = Math.max(ranges[columns + (k % columns)]!, value)
  })
  return ranges
}

function tokenResult(texts: readonly string[]): TokenEmbeddings {
  const pieces = texts.map((text) => ['[CLS]', ...fakeTokens(text), '[SEP]'])
  const data = Float32Array.from(pieces.flat().flatMap((piece) => [...fakeVector(piece)]))
  const starts = pieces.map((_, i) => pieces.slice(0, i).flat().length)
  return {
    data,
    shape: [data.length / FAKE_DIMENSION, FAKE_DIMENSION],
    length: texts.length,
    ids: Int32Array.from(pieces.flat(), (_, t) => t + 100),
    charOffsets: new Int32Array(2 * pieces.flat().length),
    ...counted(texts, 1000),
    text: (i) => {
      const tokens = pieces[i]!
      const view = data.subarray(starts[i]! * FAKE_DIMENSION, (starts[i]! + tokens.length) * FAKE_DIMENSION)
      return {
        data: view,
        shape: [tokens.length, FAKE_DIMENSION],
        ids: Int32Array.from(tokens, (_, t) => t + 100),
        tokens,
        offsets: tokens.map(
          (piece) =>
            (piece.startsWith('[') ? [0, 0] : [texts[i]!.indexOf(piece), texts[i]!.indexOf(piece) + piece.length]) as [
              number,
              number,
            ],
        ),
        row: (t) => view.subarray(t * FAKE_DIMENSION, (t + 1) * FAKE_DIMENSION),
      }
    },
  }
}

export interface RunOptions {
  core?: Core | (() => Promise<Core>)
  stdin?: string | Buffer | Readable
  isTTY?: Partial<CliIO['isTTY']>
  signal?: AbortSignal
  stdout?: Writable
}

export interface RunResult {
  code: number
  out: Buffer
  text: string
  err: string
  /** Non-empty lines of standard output as JSON. */
  lines: Record<string, unknown>[]
}

/** Runs the command on in-memory streams. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { core = fakeCore(), stdin = '' } = options
  const collect = () => {
    const chunks: Buffer[] = []
    return {
      chunks,
      stream: new Writable({ write: (chunk: Buffer, _encoding, done) => (chunks.push(Buffer.from(chunk)), done()) }),
    }
  }
  const [out, err] = [collect(), collect()]
  const code = await runCli(argv, {
    core: typeof core === 'function' ? core : async () => core,
    stdin: stdin instanceof Readable ? stdin : new PassThrough().end(stdin),
    stdout: options.stdout ?? out.stream,
    stderr: err.stream,
    isTTY: { stdin: false, stdout: false, stderr: false, ...options.isTTY },
    signal: options.signal,
  })
  const bytes = Buffer.concat(out.chunks)
  const text = bytes.toString()
  return {
    code,
    out: bytes,
    text,
    err: Buffer.concat(err.chunks).toString(),
    get lines() {
      return text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Record<string, unknown>)
    },
  }
}
