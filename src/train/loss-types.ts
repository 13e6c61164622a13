/** The losses that callers can name, and their parameters. */
export const LOSSES = [
  'MultipleNegativesRankingLoss',
  'GISTEmbedLoss',
  'BatchHardTripletLoss',
  'BatchSemiHardTripletLoss',
  'BatchAllTripletLoss',
  'BatchHardSoftMarginTripletLoss',
  'TripletLoss',
  'CosineSimilarityLoss',
  'CoSENTLoss',
  'AnglELoss',
  'ContrastiveLoss',
  'OnlineContrastiveLoss',
  'MarginMSELoss',
  'DistillKLDivLoss',
  'EmbedDistillLoss',
  'MSELoss',
] as const
export type LossName = (typeof LOSSES)[number]

export const DIRECTIONS = ['query_to_doc', 'query_to_query', 'doc_to_query', 'doc_to_doc'] as const

/** Matryoshka Representation Learning (Kusupati et al. 2022): the loss of several prefixes of the embeddings. */
export interface MatryoshkaOptions {
  dims: readonly number[]
  /** One for each of `dims`. Default: 1 for each. */
  weights?: readonly number[]
  /** Dimensions drawn for a step. Default: all. */
  nDimsPerStep?: number
}

interface CommonLossOptions {
  /** Of several losses: what this one is multiplied with. Default 1. */
  weight?: number
  /** Of its curve; equal losses need different names. Default: its type. */
  name?: string
  /** Default: that of the call. */
  matryoshka?: readonly number[] | MatryoshkaOptions
}

/**
 * InfoNCE (van den Oord et al. 2018): -log of the softmax of scale * similarity, over the positive of the row and the
 * documents of all other rows.
 */
export interface RankingLossOptions extends CommonLossOptions {
  type: 'MultipleNegativesRankingLoss'
  /** 1 / temperature. Default 20. */
  scale?: number
  /** Whether the scale is learned, beginning with `scale`; at most 100, as in CLIP. Default false. */
  learnedScale?: boolean
  /** Default `'cosine'`. */
  similarity?: 'dot' | 'cosine'
  /** Default `['query_to_doc']`. All four are GTE's loss (Li et al. 2023). */
  directions?: readonly (typeof DIRECTIONS)[number][]
  /** All directions in one softmax, or the mean of one loss each. Default `'joint'`. */
  partitionMode?: 'joint' | 'per_direction'
  /** Which negatives weigh more the harder they are. Default: none. */
  hardnessMode?: 'in_batch_negatives' | 'hard_negatives' | 'all_negatives'
  hardnessStrength?: number
  /** Leaves out keys that are the same text as the positive, or that have the same anchor. Default false. */
  maskTexts?: boolean
  /** Leaves out keys of rows with the same label. Default false. */
  maskLabels?: boolean
  /** Leaves out keys more similar than the positive minus this. Default: none is left out. */
  falseNegativeMargin?: number
  /** Of `falseNegativeMargin`: a difference, or a share of the positive's similarity. Default `'absolute'`. */
  marginStrategy?: 'absolute' | 'relative'
}

/** InfoNCE without the keys that a guide model finds more similar than the positive (Solatorio 2024). */
export interface GistLossOptions extends CommonLossOptions {
  type: 'GISTEmbedLoss'
  /** The directory or hub id of the guide. */
  guide: string
  /** Default 0.01. */
  temperature?: number
  /** Default 0. */
  margin?: number
  /** Default `'absolute'`. */
  marginStrategy?: 'absolute' | 'relative'
  /** Default true. */
  contrastAnchors?: boolean
  /** Default true. */
  contrastPositives?: boolean
}

/**
 * Triplets mined among the rows of a batch by their labels (Hermans et al. 2017; semi-hard: Schroff et al. 2015); of
 * pairs a row is a class.
 */
export interface BatchTripletLossOptions extends CommonLossOptions {
  type: 'BatchHardTripletLoss' | 'BatchSemiHardTripletLoss' | 'BatchAllTripletLoss' | 'BatchHardSoftMarginTripletLoss'
  /** Default `'euclidean'`. */
  distance?: 'euclidean' | 'cosine'
  /** Default 5. Not of the soft margin. */
  margin?: number
}

type PairDistance = 'cosine' | 'euclidean' | 'manhattan'

/** max(0, d(anchor, positive) - d(anchor, negative) + margin). Defaults: Euclidean, 5. */
export interface TripletLossOptions extends CommonLossOptions {
  type: 'TripletLoss'
  distance?: PairDistance
  margin?: number
}

/** The squared difference of cosine and score. */
export interface CosineSimilarityLossOptions extends CommonLossOptions {
  type: 'CosineSimilarityLoss'
}

/** log(1 + sum of exp(scale (s_j - s_i)) over pairs where row i has the greater score). Default scale 20. */
export interface CoSENTLossOptions extends CommonLossOptions {
  type: 'CoSENTLoss'
  scale?: number
  similarity?: 'dot' | 'cosine'
}

/** CoSENT of the difference of angles in the complex plane (Li and Li 2023). Default scale 20. */
export interface AnglELossOptions extends CommonLossOptions {
  type: 'AnglELoss'
  scale?: number
}

/** (y d^2 + (1 - y) max(0, margin - d)^2) / 2 (Hadsell et al. 2006). Defaults: cosine, 0.5, the mean of the rows. */
export interface ContrastiveLossOptions extends CommonLossOptions {
  type: 'ContrastiveLoss'
  distance?: PairDistance
  margin?: number
  sizeAverage?: boolean
}

/** Contrastive loss of the hard pairs of a batch alone, summed. Defaults: cosine, 0.5. */
export interface OnlineContrastiveLossOptions extends CommonLossOptions {
  type: 'OnlineContrastiveLoss'
  distance?: PairDistance
  margin?: number
}

/** Squared error of the margin between positive and negatives (Hofstaetter et al. 2020). Default `'dot'`. */
export interface MarginMSELossOptions extends CommonLossOptions {
  type: 'MarginMSELoss'
  similarity?: 'dot' | 'cosine'
}

/** Kullback-Leibler divergence of the scores of the documents from those of the teacher. Defaults: dot, 1. */
export interface DistillKLDivLossOptions extends CommonLossOptions {
  type: 'DistillKLDivLoss'
  similarity?: 'dot' | 'cosine'
  /** Of both, unless one of the next two says something else. */
  temperature?: number
  studentTemperature?: number
  teacherTemperature?: number
}

/** Distance from the teacher's embeddings: those of the data, or of a `teacher`. */
export interface EmbedDistillLossOptions extends CommonLossOptions {
  type: 'EmbedDistillLoss'
  /** Default `'cosine'`. */
  distance?: 'mse' | 'l2' | 'cosine'
  /**
   * The directory or hub id of the teacher. All texts of a row get its embedding of the first one, so that rows of a
   * text and its translation teach another language (Reimers and Gurevych 2020).
   */
  teacher?: string
}

/** EmbedDistillLoss with `distance: 'mse'`. */
export interface MSELossOptions extends CommonLossOptions {
  type: 'MSELoss'
  teacher?: string
}

/** A loss with its parameters. */
export type LossOptions =
  | RankingLossOptions
  | GistLossOptions
  | BatchTripletLossOptions
  | TripletLossOptions
  | CosineSimilarityLossOptions
  | CoSENTLossOptions
  | AnglELossOptions
  | ContrastiveLossOptions
  | OnlineContrastiveLossOptions
  | MarginMSELossOptions
  | DistillKLDivLossOptions
  | EmbedDistillLossOptions
  | MSELossOptions

/** A loss by its name, with its parameters, or several whose weighted sum is minimised. */
export type TrainingLoss = LossName | LossOptions | readonly (LossName | LossOptions)[]
