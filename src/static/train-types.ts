/** The public types of `trainStatic`. */
import type { InvalidUtf8, TokenizerName, WordTokenizer } from './types.js'
import type { StaticVectors } from './vectors.js'

/**
 * Text to train on:
 *
 * - the path of a text file, or a list of them: a sentence a line; `.gz` and `.br` are unpacked;
 * - an iterable or async iterable of texts (strings, cut into words by `tokenizer`) or of sentences (lists of words).
 *
 * It is read once, from beginning to end.
 */
export type StaticCorpus =
  | string
  | readonly string[]
  | { readonly texts: Iterable<string | readonly string[]> | AsyncIterable<string | readonly string[]> }

export interface PhraseOptions {
  /** Pairs seen less often are not joined. Default 5. */
  minCount?: number
  /** Default 10 for `'original'`; to be given for `'npmi'`, which is in -1 to 1. */
  threshold?: number
  /** gensim's names: `'original'` (default; gensim calls it `'default'` too) or `'npmi'`. */
  scoring?: 'original' | 'npmi'
  /** Default `'_'`. */
  delimiter?: string
  /** Passes over the corpus; each joins pairs, so two make phrases of up to four words. Default 1. */
  passes?: number
}

/** Options of `trainStatic`. Names and defaults are those of gensim's Word2Vec, in camel case, where it has them. */
export interface TrainStaticOptions {
  corpus: StaticCorpus
  /** Cuts texts into words. Default: at white space, where words stay as they are. */
  tokenizer?: WordTokenizer | TokenizerName
  /** Texts are put into lower case before they are cut. Default false. */
  lowercase?: boolean
  /** Words that are not UTF-8: default `'error'`; `'skip'` leaves them out and counts them. */
  invalidUtf8?: Exclude<InvalidUtf8, 'replace'>

  /** Skip-gram; otherwise CBOW. Default false. */
  sg?: boolean
  /** Numbers of a vector. Default 100. */
  vectorSize?: number
  /** The farthest word that counts as context. Default 5. */
  window?: number
  /** The reach of each centre is drawn from 1 to `window`. Default true. */
  shrinkWindows?: boolean
  /** Passes over the corpus. Default 5. */
  epochs?: number
  /** Words that are drawn against each target. Default 5; 0 with `hs`. */
  negative?: number
  /** The power of their counts with which words are drawn. Default 0.75. */
  nsExponent?: number
  /** Hierarchical softmax in place of negative sampling. Default false. */
  hs?: boolean
  /** Frequent words are left out at random: 0 = never. Default 1e-3. */
  sample?: number
  /** Learning rate at the beginning and at the end. Defaults 0.025 and 1e-4. */
  alpha?: number
  minAlpha?: number
  /** CBOW: the mean of the context, not its sum. Default true. */
  cbowMean?: boolean
  /**
   * CBOW: `'classic'` (default) adds the whole gradient to each word of the context, as word2vec and gensim do;
   * `'exact'` divides it by their number, as the derivative of the mean has it, and wants a rate about three times as
   * high.
   */
  cbowUpdate?: 'classic' | 'exact'

  /** Rarer words are left out. Default 5. */
  minCount?: number
  /** The most frequent words alone: `minCount` is raised until they fit. */
  maxFinalVocab?: number
  /** While the corpus is read, rare words are forgotten whenever there are more than this. */
  maxVocabSize?: number
  /** Longer sentences are cut. Default 10,000. */
  maxSentenceLength?: number
  /** Joins words that stand together often, such as `new_york`. `true`: with the defaults. */
  phrases?: boolean | PhraseOptions

  /** Lengths of fastText's n-grams, in characters; `maxN` 0 = none. Defaults 3 (where `maxN` is given) and 0. */
  minN?: number
  maxN?: number
  /** Buckets that n-grams are hashed to. Default 2,000,000. */
  bucket?: number

  seed?: number
  /** Default: the cores this process may use; 1 with `deterministic`. */
  threads?: number
  /** The same vectors in every run, bit for bit, on one kind of processor: one thread. Default false. */
  deterministic?: boolean

  /** A file that the state of the run is written to, and that is removed when the run is done. */
  checkpoint?: string
  /** Default 600. */
  checkpointSeconds?: number
  /** Goes on from the checkpoint, if there is one. The corpus is read again. Default false. */
  resume?: boolean
  /** Where temporary files go: 4 bytes a token, up to twice. Default: the system's folder for them. */
  scratch?: string
  /** Seconds between two events of progress. Default 1. */
  progressSeconds?: number
  signal?: AbortSignal
}

/** What a run tells while it is under way. */
export type StaticTrainingEvent =
  | {
      /** The corpus is being read. */
      type: 'reading'
      tokens: number
      words: number
    }
  | ({ type: 'vocabulary' } & StaticVocabulary)
  | {
      type: 'progress'
      /** Epochs done, with a fraction. */
      epoch: number
      epochs: number
      /** Words trained in this run and all words to train, over all epochs. */
      tokens: number
      totalTokens: number
      alpha: number
      /** The mean of the loss over a sample of the steps since the event before; NaN where none was sampled. */
      loss: number
      tokensPerSecond: number
      seconds: number
    }
  | { type: 'checkpoint'; path: string; epoch: number }

export interface StaticVocabulary {
  /** Tokens and sentences of the corpus, after phrases were joined. */
  corpusTokens: number
  sentences: number
  /** Tokens that were not UTF-8 and left out, and words forgotten for `maxVocabSize`. */
  invalidTokens: number
  forgottenWords: number
  /** Different phrases. */
  phrases: number
  /** Words kept, the least count among them, and their tokens. */
  words: number
  minCount: number
  tokens: number
}

export interface StaticTrainingResult extends StaticVocabulary {
  vectors: StaticVectors
  epochs: number
  /** The mean loss of the last event. */
  loss: number
  /** Seconds of training alone, and words trained in one. */
  trainingSeconds: number
  tokensPerSecond: number
  seconds: number
}
