/** The options of `trainStatic`, checked and complete. */
import { tmpdir } from 'node:os'
import { EmbedCoreError } from '../core/errors.js'
import { native } from '../core/native.js'
import {
  abortSignal,
  checkOptions,
  either,
  filledText,
  finiteNumber,
  flag,
  integer,
  invalidOption,
  oneOf,
  only,
  positiveNumber,
} from '../core/options.js'
import type { RawStaticTrainerOptions } from '../core/static-binding.js'
import { tokenizerRule } from './tokenizers.js'
import type { StaticCorpus, TrainStaticOptions } from './train-types.js'
import type { TokenizerName, WordTokenizer } from './types.js'

export interface TrainSettings {
  corpus: StaticCorpus
  tokenizer: WordTokenizer | TokenizerName
  lowercase: boolean
  raw: RawStaticTrainerOptions
  checkpoint: string | null
  checkpointSeconds: number
  resume: boolean
  progressSeconds: number
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

const corpusRule = only<StaticCorpus>(
  'the path of a file, a list of paths, or { texts } with an iterable of texts or of lists of words',
  (value) => {
    if (typeof value === 'string') return value !== ''
    if (Array.isArray(value)) return value.length > 0 && value.every((path) => typeof path === 'string' && path !== '')
    const texts: unknown = (value as { texts?: unknown } | null)?.texts
    return isObject(value) && isObject(texts) && (Symbol.asyncIterator in texts || Symbol.iterator in texts)
  },
)

const share = only<number>('a number of at least 0 and below 1', (value) => {
  return typeof value === 'number' && value >= 0 && value < 1
})

const RULES = {
  corpus: corpusRule,
  tokenizer: tokenizerRule,
  lowercase: flag,
  invalidUtf8: oneOf('error', 'skip'),
  sg: flag,
  vectorSize: integer(1, 65_536),
  window: integer(1, 100_000),
  shrinkWindows: flag,
  epochs: integer(1),
  negative: integer(0, 100),
  nsExponent: finiteNumber,
  hs: flag,
  sample: share,
  alpha: positiveNumber,
  minAlpha: only<number>(
    'a number from 0',
    (value) => typeof value === 'number' && value >= 0 && Number.isFinite(value),
  ),
  cbowMean: flag,
  cbowUpdate: oneOf('classic', 'exact'),
  minCount: integer(1),
  maxFinalVocab: integer(2),
  maxVocabSize: integer(2),
  maxSentenceLength: integer(2),
  phrases: either(flag, only<object>('an object of options', isObject)),
  minN: integer(1, 100),
  maxN: integer(0, 100),
  bucket: integer(1),
  seed: integer(0),
  threads: integer(1, 1024),
  deterministic: flag,
  checkpoint: filledText,
  checkpointSeconds: positiveNumber,
  resume: flag,
  scratch: filledText,
  progressSeconds: positiveNumber,
  signal: abortSignal,
}

const refuse = (message: string): EmbedCoreError => new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', message)

/** @throws ERR_EMBEDCORE_INVALID_OPTION, _UNKNOWN_OPTION, _NATIVE_LOAD */
export function checkTrainStatic(options: TrainStaticOptions): TrainSettings {
  const given = checkOptions(options, RULES)
  if (given.corpus === undefined) throw invalidOption('corpus', corpusRule.expected, undefined)
  const hs = given.hs === true
  const negative = given.negative ?? (hs ? 0 : 5)
  if (hs && negative > 0) throw refuse(`Expected negative 0 with hs but received ${negative}`)
  if (!hs && negative === 0) throw refuse('Expected negative from 1 or hs: true but received negative 0')
  const alpha = given.alpha ?? 0.025
  const minAlpha = given.minAlpha ?? Math.min(1e-4, alpha)
  if (minAlpha > alpha) throw refuse(`Expected minAlpha of at most alpha, ${alpha}, but received ${minAlpha}`)
  const sg = given.sg === true
  for (const name of ['cbowMean', 'cbowUpdate'] as const)
    if (sg && given[name] !== undefined) throw refuse(`${name} is for CBOW, and sg is true`)
  if (given.cbowMean === false && given.cbowUpdate === 'exact')
    throw refuse("cbowUpdate 'exact' is for the mean of the context, and cbowMean is false")
  const maxN = given.maxN ?? 0
  const minN = maxN === 0 ? 0 : (given.minN ?? Math.min(3, maxN))
  if (maxN === 0 && (given.minN !== undefined || given.bucket !== undefined))
    throw refuse(`Expected maxN from 1 with ${given.minN === undefined ? 'bucket' : 'minN'} but received ${maxN}`)
  if (minN > maxN) throw refuse(`Expected minN of at most maxN, ${maxN}, but received ${minN}`)
  if (given.deterministic === true && (given.threads ?? 1) > 1)
    throw refuse(`Expected threads 1 with deterministic but received ${given.threads}`)
  if (given.checkpoint === undefined && (given.resume === true || given.checkpointSeconds !== undefined))
    throw refuse(`${given.resume === true ? 'resume' : 'checkpointSeconds'} needs checkpoint, the path of a file`)
  return {
    corpus: given.corpus,
    tokenizer: given.tokenizer ?? 'whitespace',
    lowercase: given.lowercase === true,
    checkpoint: given.checkpoint ?? null,
    checkpointSeconds: given.checkpointSeconds ?? 600,
    resume: given.resume === true,
    progressSeconds: given.progressSeconds ?? 1,
    raw: {
      scratch: given.scratch ?? tmpdir(),
      maxVocabSize: given.maxVocabSize ?? 0,
      skipInvalid: given.invalidUtf8 === 'skip',
      ...phraseOptions(given.phrases),
      minCount: given.minCount ?? 5,
      maxFinalVocab: given.maxFinalVocab ?? 0,
      vectorSize: given.vectorSize ?? 100,
      window: given.window ?? 5,
      epochs: given.epochs ?? 5,
      negative,
      sg,
      cbowMean: given.cbowMean ?? true,
      exactCbow: given.cbowUpdate === 'exact',
      shrinkWindows: given.shrinkWindows ?? true,
      alpha,
      minAlpha,
      sample: given.sample ?? 1e-3,
      nsExponent: given.nsExponent ?? 0.75,
      maxSentenceLength: given.maxSentenceLength ?? 10_000,
      minN,
      maxN,
      bucket: maxN === 0 ? 0 : (given.bucket ?? 2_000_000),
      seed: given.seed ?? 1,
      threads: given.threads ?? (given.deterministic === true ? 1 : native().cpu().cores),
    },
  }
}

type PhraseSettings = Pick<
  RawStaticTrainerOptions,
  'phrasePasses' | 'phraseMinCount' | 'phraseThreshold' | 'phraseNpmi' | 'phraseDelimiter'
>

function phraseOptions(phrases: boolean | object | undefined): PhraseSettings {
  const given = checkOptions(typeof phrases === 'object' ? phrases : undefined, {
    minCount: integer(1),
    threshold: finiteNumber,
    scoring: oneOf('original', 'npmi'),
    delimiter: only<string>(
      'a string without white space',
      (value) => typeof value === 'string' && value !== '' && !/[ \t\n\v\f\r\0]/.test(value),
    ),
    passes: integer(1, 10),
  })
  const npmi = given.scoring === 'npmi'
  if (npmi && (given.threshold === undefined || given.threshold < -1 || given.threshold > 1))
    throw invalidOption("threshold of phrases with scoring 'npmi'", 'a number from -1 to 1', given.threshold)
  return {
    phrasePasses: phrases === undefined || phrases === false ? 0 : (given.passes ?? 1),
    phraseMinCount: given.minCount ?? 5,
    phraseThreshold: given.threshold ?? 10,
    phraseNpmi: npmi,
    phraseDelimiter: given.delimiter ?? '_',
  }
}
