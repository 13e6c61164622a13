/**
 * Across languages, two ways. `shared-space`: a multilingual encoder learns that a text and its translation are one
 * thing, with negatives of the same category in other languages. `new-language`: an English encoder learns French from
 * translations, by imitating its own vectors of the English texts (Reimers and Gurevych 2020).
 */
import path from 'node:path'
import { drawConcepts, makeVocabularies, say } from '../lib/made-words.mjs'
import { random, sample } from '../lib/random.mjs'
import { makeSmallModel } from '../lib/small-model.mjs'
import { readApps } from './apps.mjs'
import { readTaxonomy } from './off.mjs'

const LANGUAGES = ['fr', 'es', 'zh']
/** Rows of a language that are trained on, and that judge. */
const [TRAINED, JUDGED] = [500, 300]
const SEED = 1
/** E5 was trained with this before every text; for symmetric tasks both sides have it. */
const PROMPT = 'query: '

/** Rows of entries that have a translation which is another text. */
const translations = (entries, language) =>
  entries
    .filter(({ names }) => names[language] && names[language].toLowerCase() !== names.en.toLowerCase())
    .map(({ id, category, names }) => ({ anchor: names.en, positive: names[language], category, language, id }))

function real(data, next) {
  const foods = readTaxonomy(path.join(data, 'off', 'categories.txt'))
  const apps = (part) => readApps(path.join(data, 'apps-multilingual', `apps-${part}.jsonl.gz`))
  const [trainedApps, judgedApps] = [apps('train'), apps('val')]
  // Held out by entry: none of its languages is trained on. English texts that both have are of the trained entries.
  const trainedFoods = new Set(sample(foods, Math.round(0.75 * foods.length), next))
  const seen = new Set([...trainedFoods, ...trainedApps].map(({ names }) => names.en.toLowerCase()))
  const fresh = (entries) => entries.filter(({ names }) => !seen.has(names.en.toLowerCase()))
  const heldOut = { foods: fresh(foods.filter((food) => !trainedFoods.has(food))), apps: fresh(judgedApps) }
  const trained = [...trainedFoods, ...trainedApps]
  return { trained, heldOut, all: trained }
}

/** Three languages that have no word in common with the first, and entries in categories. */
function synthetic(next) {
  const vocabularies = makeVocabularies(4, 80, next)
  const entries = Array.from({ length: 400 }, (_, i) => {
    const concepts = drawConcepts(80, 4, next)
    const names = Object.fromEntries(
      ['en', ...LANGUAGES].map((name, v) => [name, say(concepts, vocabularies[v], next)]),
    )
    return { id: `made ${i}`, category: `category ${i % 4}`, names, description: names.en }
  })
  return { trained: entries.slice(0, 300), heldOut: { foods: entries.slice(300, 350), apps: entries.slice(350) } }
}

const bitext = (name, rows, prompt) => ({
  task: 'bitext',
  name,
  data: rows.map(({ anchor, positive }) => ({ source_sentence: prompt + anchor, target_sentence: prompt + positive })),
})

/** Foreign summaries look for the English summary and description of the same application. */
function retrieval(name, apps, language, prompt) {
  const rows = translations(apps, language)
  const text = ({ names, description }) => prompt + `${names.en}. ${description}`.slice(0, 300)
  return {
    task: 'retrieval',
    name,
    queries: new Map(rows.map(({ id, positive }) => [`q ${id}`, prompt + positive])),
    corpus: new Map(apps.map((app) => [app.id, text(app)])),
    relevantDocs: new Map(rows.map(({ id }) => [`q ${id}`, new Set([id])])),
    mainSimilarity: 'cosine',
  }
}

export const recipe = {
  name: 'cross-language',
  folder: '.',
  title: 'texts and their translations find each other',
  seeds: '1',
  options: {
    multilingual: { help: 'a multilingual encoder', default: 'intfloat/multilingual-e5-small' },
    model: { help: 'an English encoder', default: 'sentence-transformers/all-MiniLM-L6-v2' },
  },

  async tasks({ data, models, directory }) {
    const next = random(SEED)
    const { trained, heldOut } = data === null ? synthetic(next) : real(data, next)
    const made = (name, seed) => {
      const texts = [trained, heldOut.foods, heldOut.apps].flat().flatMap(({ names }) => Object.values(names))
      return makeSmallModel(path.join(directory, name), { texts: [...texts, PROMPT], seed })
    }
    const small = data === null
    const multilingual = models.multilingual ?? made('multilingual', 1)
    const english = models.model ?? made('english', 2)
    return [
      sharedSpace({ trained, heldOut, model: multilingual, small, next }),
      newLanguage({ trained, heldOut, model: english, small, next }),
    ]
  },
}

function sharedSpace({ trained, heldOut, model, small, next }) {
  const rows = LANGUAGES.flatMap((language) => sample(translations(trained, language), TRAINED, next))
  const judged = LANGUAGES.map((language) => [
    language,
    sample(translations(heldOut.foods, language), JUDGED, next),
    translations(heldOut.apps, language).length,
  ])
  return {
    name: 'shared-space',
    about: [
      `${rows.length} pairs to train on: ${LANGUAGES.map((one) => `en-${one}`).join(', ')}`,
      ...judged.map(
        ([language, pairs, queries]) =>
          `en-${language}: ${pairs.length} held-out pairs, ${queries} queries of ${heldOut.apps.length} English documents`,
      ),
    ],
    train: {
      model,
      data: rows,
      prompts: PROMPT,
      loss: {
        type: 'MultipleNegativesRankingLoss',
        scale: small ? 20 : 50,
        directions: ['query_to_doc', 'doc_to_query'],
        partitionMode: 'per_direction',
      },
      sampler: 'cross-language',
      batchSize: 32,
      epochs: small ? 6 : 1,
      learningRate: small ? 2e-3 : 5e-5,
      maxTokens: 64,
    },
    evaluators: judged.flatMap(([language, pairs]) => [
      bitext(`en-${language}`, pairs, PROMPT),
      retrieval(`apps-${language}`, heldOut.apps, language, PROMPT),
    ]),
    metrics: judged.flatMap(([language, pairs, queries]) => [
      [`en-${language} bitext`, `en-${language}_mean_accuracy`, pairs.length],
      [`apps ${language} mrr@10`, `apps-${language}_cosine_mrr@10`, queries],
    ]),
    floors: {},
  }
}

function newLanguage({ trained, heldOut, model, small, next }) {
  const rows = sample(translations(trained, 'fr'), 3 * TRAINED, next)
  const pairs = sample(translations(heldOut.foods, 'fr'), JUDGED, next)
  const queries = translations(heldOut.apps, 'fr').length
  return {
    name: 'new-language',
    about: [
      `${rows.length} pairs of English and French to train on`,
      `${pairs.length} held-out pairs, ${queries} French queries of ${heldOut.apps.length} English documents`,
    ],
    train: {
      model,
      data: rows.map(({ anchor, positive }) => ({ anchor, positive })),
      loss: { type: 'MSELoss', teacher: model },
      sampler: 'random',
      batchSize: 32,
      epochs: small ? 6 : 1,
      learningRate: small ? 2e-3 : 1e-4,
      maxTokens: 64,
    },
    evaluators: [bitext('en-fr', pairs, ''), retrieval('apps-fr', heldOut.apps, 'fr', '')],
    metrics: [
      ['en-fr bitext', 'en-fr_mean_accuracy', pairs.length],
      ['apps fr mrr@10', 'apps-fr_cosine_mrr@10', queries],
    ],
    floors: {},
  }
}
