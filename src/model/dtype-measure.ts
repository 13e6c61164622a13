/**
 * Measures each dtype with a model on this machine: how close its vectors stay to those of float32, and how fast it is.
 */
import { EmbedCoreError, type ErrorCode, toEmbedCoreError } from '../core/errors.js'
import type { Dtype } from '../core/names.js'
import type { SentenceEmbeddings } from '../core/types.js'
import type { DtypeMeasurement } from './info.js'
import { similarity } from '../core/vectors.js'
import { abortError } from '../core/abort.js'

/** The lowest cosine to its float32 vector that `'auto'` accepts for any text. */
export const LEAST_COSINE = 0.9999

/** A smaller gain is within the noise of two measurements; the more exact dtype stays. */
const CLEARLY_FASTER = 1.05

/** The more exact dtype comes first. */
const CANDIDATES = ['bfloat16', 'int8'] as const satisfies readonly Dtype[]

/**
 * With five rounds, the median is right even if two are disturbed. A large model stops after three rounds once the
 * candidate's time is used up.
 */
const ROUNDS = 5
const FEWEST_ROUNDS = 3
const CANDIDATE_MS = 3000

/** A candidate that fails with one of these codes is ruled out; any other failure fails the load. */
const RULED_OUT: readonly ErrorCode[] = ['ERR_EMBEDCORE_NON_FINITE', 'ERR_EMBEDCORE_UNSUPPORTED_MODEL']

/** The part of `Model` that measuring needs. */
export interface MeasurableModel {
  encode(texts: readonly string[], options: { signal: AbortSignal }): Promise<SentenceEmbeddings<'float32'>>
  dispose(): Promise<void>
}

export type OpenForMeasuring = (dtype: Dtype) => Promise<MeasurableModel>

/** The fastest dtype that is close enough to float32; the more exact one if speeds hardly differ. */
export function fastestFaithful(measured: readonly DtypeMeasurement[]): Dtype {
  const [first, ...others] = measured
  let best = first!
  for (const one of others)
    if (one.leastCosine >= LEAST_COSINE && one.tokensPerSecond >= CLEARLY_FASTER * best.tokensPerSecond) best = one
  return best.dtype
}

/**
 * float32 first, then the candidates. Each is opened after the one before is closed, so at most two models are in
 * memory.
 */
export async function measureDtypes(open: OpenForMeasuring, signal: AbortSignal): Promise<DtypeMeasurement[]> {
  return withModel(open, 'float32', signal, async (exact) => {
    const expected = await exact.encode(TEXTS, { signal })
    const tokens = expected.tokenCounts.reduce((sum, count) => sum + count, 0)
    const exactTimes: number[] = []
    const candidates: { dtype: Dtype; leastCosine: number; speedUp: number }[] = []
    for (const dtype of CANDIDATES) {
      try {
        candidates.push(
          await withModel(open, dtype, signal, async (candidate) => {
            // Both have encoded the texts once before the clock starts.
            const leastCosine = await leastCosineOf(expected, await candidate.encode(TEXTS, { signal }))
            const times = await timeInTurn(exact, candidate, signal)
            exactTimes.push(...times.exact)
            return { dtype, leastCosine, speedUp: median(times.exact) / median(times.candidate) }
          }),
        )
      } catch (error) {
        if (!RULED_OUT.includes(toEmbedCoreError(error).code)) throw error
        candidates.push({ dtype, leastCosine: 0, speedUp: 0 })
      }
    }
    if (exactTimes.length === 0) exactTimes.push(await timeOf(exact, signal))
    const tokensPerSecond = (1000 * tokens) / median(exactTimes)
    // Compared with float32 rounds between its own rounds, so that other load on the machine affects both alike.
    return [
      { dtype: 'float32', leastCosine: 1, tokensPerSecond },
      ...candidates.map(({ dtype, leastCosine, speedUp }) => ({
        dtype,
        leastCosine,
        tokensPerSecond: speedUp * tokensPerSecond,
      })),
    ]
  })
}

async function withModel<T>(
  open: OpenForMeasuring,
  dtype: Dtype,
  signal: AbortSignal,
  work: (model: MeasurableModel) => Promise<T>,
): Promise<T> {
  if (signal.aborted) throw abortError(signal)
  const model = await open(dtype)
  try {
    if (signal.aborted) throw abortError(signal)
    return await work(model)
  } finally {
    await model.dispose()
  }
}

async function leastCosineOf(
  expected: SentenceEmbeddings<'float32'>,
  found: SentenceEmbeddings<'float32'>,
): Promise<number> {
  const cosines = await similarity(expected, found)
  let least = 1
  for (let i = 0; i < TEXTS.length; i++) least = Math.min(least, cosines.row(i)[i]!)
  if (Number.isNaN(least)) throw new EmbedCoreError('ERR_EMBEDCORE_NON_FINITE', 'A vector of length 0 has no cosine')
  return least
}

/**
 * Milliseconds per round of each, in turn. They take turns in starting a round, so that neither always follows the
 * other.
 */
async function timeInTurn(
  exact: MeasurableModel,
  candidate: MeasurableModel,
  signal: AbortSignal,
): Promise<{ exact: number[]; candidate: number[] }> {
  const times = { exact: [] as number[], candidate: [] as number[] }
  const begun = performance.now()
  for (let round = 0; round < ROUNDS; round++) {
    if (round >= FEWEST_ROUNDS && performance.now() - begun > CANDIDATE_MS) break
    if (round % 2 === 1) times.candidate.push(await timeOf(candidate, signal))
    times.exact.push(await timeOf(exact, signal))
    if (round % 2 === 0) times.candidate.push(await timeOf(candidate, signal))
  }
  return times
}

async function timeOf(model: MeasurableModel, signal: AbortSignal): Promise<number> {
  const begun = performance.now()
  await model.encode(TEXTS, { signal })
  return performance.now() - begun
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Queries, titles, sentences and paragraphs in widely used languages; the longest have about a hundred tokens. */
export const TEXTS: readonly string[] = [
  'shoes',
  'tax law',
  'iPhone 15 Pro Max 256GB',
  'how do I reset my password?',
  'red leather handbag with gold zip',
  'What is the capital of New Zealand?',
  'SELECT name FROM users WHERE id = 42;',
  'The cat sat on the mat and watched the rain run down the window.',
  'Two dogs are playing in the snow while a child throws a ball.',
  'He did not say that the bank was closed; he said that nobody had opened it.',
  'Wireless noise-cancelling headphones, 30 hours of battery life, USB-C charging, foldable, black.',
  'On 3 March 2021 the company reported revenue of $4.2 billion, up 17 % on the year before.',
  'Photosynthesis turns light into chemical energy: plants take up carbon dioxide and water, and give off oxygen.',
  "Please find attached the minutes of Monday's meeting. The next one is on the 14th at 10:30, in the small room " +
    'on the second floor, and not in the hall as before.',
  'A vector holds what a sentence means as a point in space. Sentences that mean nearly the same lie close ' +
    'together, whatever words they are written in, and those about other matters lie far apart; so a search ' +
    'becomes a question of which points are near, and that can be answered quickly even for millions of them.',
  'The museum was built in 1894 by an architect who had never seen the sea. Its windows look inland, over the ' +
    'railway and the mills, and visitors who come for the view of the harbour are sent round to the back, where a ' +
    'narrow stair leads up to the only balcony. From there, on a clear day, one can see the lighthouse, the ' +
    'ferries and, far out, the islands that gave the town its name.',
  '苹果手机',
  '连衣裙 夏季 新款 女',
  '今天天气很好，我们去公园散步吧。',
  '这家银行的利率比去年低了百分之零点五。',
  '人工智能正在改变我们的生活方式，从医疗诊断到自动驾驶，它的应用越来越广泛，同时也带来了新的问题：谁来负责，数据归谁所有，以及人们如何信任机器的判断。',
  '送料無料のスニーカー',
  '明日の会議は午後三時から二階の会議室で行います。',
  '오늘 저녁에 무엇을 먹을까요?',
  'zapatos rojos de mujer',
  'El tren con destino a Sevilla saldrá con veinte minutos de retraso por una avería en la vía.',
  'Où est la bibliothèque la plus proche ?',
  'La recette est simple : battez trois œufs, ajoutez la farine et le lait, puis laissez reposer la pâte une ' +
    'heure avant de la faire cuire.',
  'Kündigungsfrist Mietvertrag',
  'Die Lieferung verzögert sich, weil ein Bauteil fehlt, das nur noch von einem Hersteller in kleiner Stückzahl ' +
    'gefertigt wird.',
  'Onde posso comprar bilhetes para o jogo de domingo?',
  'Il museo è chiuso il lunedì, tranne nei giorni festivi.',
  'Как работает двигатель внутреннего сгорания?',
  'أين أقرب محطة قطار؟',
  'मुझे एक सस्ता फ़ोन चाहिए',
  '👍 great product!!! 10/10 would buy again :)',
]
