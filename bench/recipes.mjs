/**
 * `npm run bench:recipes`: trains the recipes of examples/ here and in sentence-transformers, on the same batches, and
 * compares the first losses and what the models can do at the end. README.md explains the tables. Exit codes: 0 measured;
 * 1 the two differ or a run failed; 2 wrong use.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { dirname, join } from 'node:path'
import { train } from '../dist/index.js'
import { judge, modelsOf, trainTask } from '../examples/lib/command.mjs'
import { recipe as crossLanguage } from '../examples/cross-language/recipe.mjs'
import { recipe as decoder } from '../examples/decoder/recipe.mjs'
import { recipe as products } from '../examples/products/recipe.mjs'
import { recipe as simcse } from '../examples/simcse/recipe.mjs'
import { describeCommit, describeMachine } from './lib/machine.mjs'
import { UsageError, listOf, parseOptions, positive } from './lib/options.mjs'
import { availableCores } from './lib/package.mjs'
import { preparePython } from './lib/setup.mjs'
import { judgeTask, reportRecipes } from './recipes/report.mjs'
import { bundledSampler, trainInPython } from './recipes/peer.mjs'

const RECIPES = { products, simcse, 'cross-language': crossLanguage, decoder }
/** Steps of the first seed whose losses are compared, without dropout, which draws other numbers there. */
const COMPARED = 10

const OPTIONS = {
  recipes: { type: 'string', value: 'A,B', default: Object.keys(RECIPES).join(','), help: 'what is trained' },
  data: { type: 'string', value: 'DIR', help: 'a folder with products/, stsb/, off/, … (see examples/README.md)' },
  model: { type: 'string', value: 'DIR', help: 'all-MiniLM-L6-v2' },
  multilingual: { type: 'string', value: 'DIR', help: 'multilingual-e5-small' },
  seeds: { type: 'string', value: 'N', help: 'seeds of a recipe (default 3 of products and simcse, 1 of the others)' },
  threads: { type: 'string', value: 'N', help: 'worker threads of both (default the cores)' },
  python: { type: 'string', value: 'FILE', help: 'a Python with sentence-transformers and peft' },
  out: { type: 'string', value: 'FILE', help: 'write the JSON result' },
  json: { type: 'boolean', default: false, help: 'print the JSON result instead of tables' },
}

const say = (text) => process.stderr.write(`bench:recipes: ${text}\n`)

/** Losses of the first steps without dropout. */
async function firstLosses(task, seed, threads, output) {
  const { epochs: _, ...rest } = task.train
  const run = train({ ...rest, seed, threads, output, maxSteps: COMPARED, dropout: false, saveSteps: 0, logs: false })
  const losses = []
  for await (const event of run) if (event.type === 'step') losses.push(event.loss)
  await run
  return losses
}

/**
 * The model that training begins with. New parts get their first weights from a step whose rate is too small to change
 * any: the update is below half a unit in the last place.
 */
async function beginning(task, seed, threads, output) {
  if (task.train.method === undefined && task.train.projection === undefined) return task.train.model
  const { epochs: _epochs, merge: _merge, ...rest } = task.train
  await train({ ...rest, seed, threads, output, maxSteps: 1, learningRate: 1e-30, saveSteps: 0, logs: false })
  return output
}

async function trainBoth(task, seed, { python, sampledBatches, threads, folder, first }) {
  const batches = await sampledBatches({ ...task.train, seed })
  say(`${task.name}, seed ${seed}: ${batches.length} steps here`)
  const losses = first ? await firstLosses(task, seed, threads, join(folder, 'first')) : []
  const base = await beginning(task, seed, threads, join(folder, 'base'))
  const { before, run } = await trainTask(task, { seed, output: join(folder, 'ours'), threads, before: first })
  say(`${task.name}, seed ${seed}: and in sentence-transformers`)
  const output = join(folder, 'theirs')
  const compared = losses.length
  const theirs = await trainInPython(python, { task, batches, base, seed, compared, threads, folder, output })
  return {
    seed,
    steps: run.steps,
    before,
    ours: { firstLosses: losses, losses: run.losses, metrics: run.metrics, seconds: run.seconds },
    theirs: {
      firstLosses: theirs.losses,
      losses: theirs.runLosses,
      metrics: await judge(output, task, { threads }),
      seconds: theirs.seconds,
    },
    versions: theirs.versions,
  }
}

/** After each task, so that what was measured is not lost when a later one fails. */
function writeResult(file, result) {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, JSON.stringify(result, null, 1) + '\n')
}

async function main() {
  const intro = 'node bench/recipes.mjs [options]   the recipes of examples/ beside sentence-transformers'
  const options = parseOptions(process.argv.slice(2), OPTIONS, intro)
  const names = listOf('recipes', options.recipes, Object.keys(RECIPES))
  const cores = await availableCores()
  const threads = options.threads ? positive('threads', options.threads) : cores
  const python = options.python ?? preparePython(say)
  const date = new Date()
  const machine = describeMachine(cores, threads)
  const result = {
    schema: 1,
    date: date.toISOString(),
    ...describeCommit(),
    machine,
    command: process.argv.slice(2),
    recipes: [],
  }
  const sampledBatches = await bundledSampler()
  const scratch = mkdtempSync(join(os.tmpdir(), 'embedcore-recipes-'))
  try {
    for (const name of names) {
      const recipe = RECIPES[name]
      const seeds = Array.from(
        { length: options.seeds ? positive('seeds', options.seeds) : recipe.seeds.split(',').length },
        (_, i) => i + 1,
      )
      // The decoder recipe makes its own base model; `--model` is the encoder of the others.
      const models = modelsOf(recipe, name === 'decoder' ? { data: options.data } : options)
      const directory = join(scratch, name)
      mkdirSync(directory)
      const data = options.data === undefined ? null : join(options.data, recipe.folder)
      for (const task of await recipe.tasks({ data, models, directory })) {
        const runs = []
        for (const seed of seeds) {
          const folder = join(directory, task.name, String(seed))
          runs.push(await trainBoth(task, seed, { python, sampledBatches, threads, folder, first: runs.length === 0 }))
          const ended = (side) => task.metrics.map(([, key]) => runs.at(-1)[side].metrics[key].toFixed(4)).join(' ')
          say(`${task.name}, seed ${seed}: ${ended('ours')} here, ${ended('theirs')} there`)
          rmSync(folder, { recursive: true, force: true })
        }
        result.recipes.push(judgeTask(name, task, runs))
        if (options.out) writeResult(options.out, result)
      }
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
  process.stdout.write(options.json ? JSON.stringify(result) + '\n' : reportRecipes(result))
  if (result.recipes.some(({ held }) => !held)) process.exitCode = 1
}

main().catch((error) => {
  say(error instanceof UsageError ? error.message : error.stack)
  process.exitCode = error instanceof UsageError ? 2 : 1
})
