/**
 * Names of options and values in sentence-transformers, transformers and Transformers.js. The error message for such a
 * name gives the name used here, or the reason why there is none. Names are compared without case, `_` and `-`.
 */
const plain = (name: string): string => name.toLowerCase().replace(/[_-]/g, '')

const ITSELF = 'results are typed arrays; there is no other kind'
const LIMIT = 'use maxTokens'

/** Options, by the name they have elsewhere. */
const OPTIONS: Readonly<Record<string, string>> = {
  sentences: 'texts are the first argument',
  texts: 'texts are the first argument',
  batchsize: 'texts are batched by the engine; memory is bounded by maxBatchTokens of load, or use encodeStream',
  showprogressbar: 'use onProgress',
  progresscallback: 'use onProgress',
  normalizeembeddings: 'use normalize',
  normalized: 'use normalize',
  truncatedim: 'use dimensions',
  outputvalue: "use output: 'sentence' or 'token'",
  poolingmode: 'use pooling',
  converttonumpy: ITSELF,
  converttotensor: ITSELF,
  converttolist: ITSELF,
  returntensors: ITSELF,
  maxseqlength: LIMIT,
  maxlength: LIMIT,
  modelmaxlength: LIMIT,
  truncation: 'use truncate',
  truncationside: "use truncate: 'right' or 'left'",
  padding: 'texts are packed without padding',
  quantized: 'use dtype (arithmetic, of load) or precision (results, of encode)',
  torchdtype: 'use dtype',
  numthreads: 'use threads',
  nthreads: 'use threads',
  backend: 'use device',
  cachefolder: 'use cacheDir',
  cachedirectory: 'use cacheDir',
  localfilesonly: 'use offline',
  useauthtoken: 'use token',
  accesstoken: 'use token',
  adaptername: 'use adapter, the name of an adapter that loadAdapter has loaded',
  adapters: 'use adapter, the name of one',
  peftmodelid: 'the directory of the adapter is the first argument',
  trustremotecode: 'code of a model is never run',
  modelnameorpath: 'the path or hub id is the first argument',
  similarityfnname: 'use metric, of similarity',
  scorefunction: 'use metric',
  scorefunctions: 'use similarityFnNames',
  mainscorefunction: 'use mainSimilarity',
  mainsimilarityfunction: 'use mainSimilarity',
  corpuschunksize: 'use batchSize',
  sentences1: 'rows are in data, as { sentence1, sentence2, score }',
  sentences2: 'rows are in data, as { sentence1, sentence2, score }',
  scores: 'rows are in data, as { sentence1, sentence2, score }',
  anchors: 'rows are in data, as { anchor, positive, negative }',
  positives: 'rows are in data, as { anchor, positive, negative }',
  negatives: 'rows are in data, as { anchor, positive, negative }',
  sourcesentences: 'rows are in data, as { source_sentence, target_sentence }',
  targetsentences: 'rows are in data, as { source_sentence, target_sentence }',
}

const NVIDIA = "use 'cuda', or 'cuda:0' for one of several"
const NO_SUCH = "models run on the CPU and on NVIDIA GPUs ('cuda'); see embedCore.devices()"

/** Values of options, by the name they have elsewhere. */
const VALUES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  device: {
    gpu: NVIDIA,
    nvidia: NVIDIA,
    mps: NO_SUCH,
    metal: NO_SUCH,
    webgpu: NO_SUCH,
    npu: NO_SUCH,
    xpu: NO_SUCH,
    rocm: NO_SUCH,
    hip: NO_SUCH,
    dml: NO_SUCH,
    wasm: NO_SUCH,
  },
  dtype: {
    fp32: "use 'float32'",
    float: "use 'float32'",
    bf16: "use 'bfloat16'",
    fp16: "use 'float16', or 'bfloat16' on a CPU",
    half: "use 'float16', or 'bfloat16' on a CPU",
    q8: "use 'int8'",
    uint8: "use 'int8'",
    q4: "'int8' is the smallest",
    int4: "'int8' is the smallest",
  },
  output: { sentenceembedding: "use 'sentence'", tokenembeddings: "use 'token'" },
  metric: {
    cossim: "use 'cosine'",
    dotscore: "use 'dot'",
    dotproduct: "use 'dot'",
    euclideansim: "use 'euclidean'",
    manhattansim: "use 'manhattan'",
    l2: "use 'euclidean'",
    l1: "use 'manhattan'",
  },
  pooling: {
    clstoken: "use 'cls'",
    first: "use 'cls'",
    meantokens: "use 'mean'",
    average: "use 'mean'",
    avg: "use 'mean'",
    maxtokens: "use 'max'",
    last: "use 'lasttoken'",
    eos: "use 'lasttoken'",
  },
}

/** Advice for an option of another library, or null. */
export function optionHere(name: string): string | null {
  const key = plain(name)
  return Object.hasOwn(OPTIONS, key) ? OPTIONS[key]! : null
}

/** Advice for a value of another library, or null. `gpu:0` counts as `gpu`. */
export function valueHere(option: string, value: string): string | null {
  const key = plain(value).replace(/:\d+$/, '')
  const values = Object.hasOwn(VALUES, option) ? VALUES[option]! : {}
  return Object.hasOwn(values, key) ? values[key]! : null
}
