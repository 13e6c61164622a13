/**
 * The command of a recipe: options, training once per seed, the table. A recipe is
 *
 *   { name, title, seeds, options, tasks({ data, models, directory, log }) }
 *
 * `options`: its models, { name: { help, default } }, `default` being a hub id. `tasks` makes the data sets and gives
 * what is trained, one or several of
 *
 *   { name, about, train, evaluators, metrics, floors }
 *
 * `about`: lines on the data; `train`: options of `train` but the output and the seed; `metrics`: [title, name] of those
 * in the table; `floors`: metrics of what needs no training, by title.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { evaluate, load, train } from 'embedcore'
import { taskTable } from './table.mjs'

class UsageError extends Error {}

const defaultModel = (id) => (id === null ? '' : ` (default ${id}; without --data a small random one)`)

function readOptions(recipe, argv) {
  const known = {
    data: { type: 'string', value: 'DIR', help: 'the data; without it the set is synthetic, by a fixed seed' },
    ...Object.fromEntries(
      Object.entries(recipe.options).map(([name, { help, default: id }]) => [
        name,
        { type: 'string', value: 'DIR', help: `${help}: a directory or hub id${defaultModel(id)}` },
      ]),
    ),
    seeds: { type: 'string', value: '1,2,3', help: `seeds of training, one run each (default ${recipe.seeds})` },
    threads: { type: 'string', value: 'N', help: 'default: the cores' },
    output: { type: 'string', value: 'DIR', help: 'where models are kept; without it they are removed' },
    json: { type: 'boolean', help: 'print one line of JSON in place of tables' },
    help: { type: 'boolean', help: 'print this' },
  }
  let values
  try {
    values = parseArgs({ args: argv, options: known }).values
  } catch (error) {
    throw new UsageError(`${error.message.split('. ')[0]}; --help lists the options`)
  }
  if (values.help) {
    const lines = Object.entries(known).map(
      ([name, { value, help }]) => `  ${`--${name}${value ? ` ${value}` : ''}`.padEnd(18)}${help}`,
    )
    process.stdout.write(`node examples/${recipe.name}/run.mjs: ${recipe.title}\n\n${lines.join('\n')}\n`)
    return null
  }
  const integers = (name, text) => {
    const numbers = text.split(',').map(Number)
    if (!numbers.every((number) => Number.isSafeInteger(number) && number >= (name === 'threads' ? 1 : 0)))
      throw new UsageError(`Expected integers for --${name} but received '${text}'`)
    return numbers
  }
  return {
    ...values,
    seeds: integers('seeds', values.seeds ?? recipe.seeds),
    threads: values.threads === undefined ? undefined : integers('threads', values.threads)[0],
  }
}

/** The models of a recipe: those of the options, else by hub id, else (of a synthetic set) null. */
export function modelsOf(recipe, values) {
  return Object.fromEntries(
    Object.entries(recipe.options).map(([name, { default: id }]) => [
      name,
      values[name] ?? (values.data === undefined ? null : id),
    ]),
  )
}

/**
 * Trains a task with a seed. Of the first seed, `before` is asked for: the evaluators judge the model in training too.
 * Else what was saved is loaded and judged, which is the same but for the vectors before.
 */
export async function trainTask(task, { seed, output, threads, before: judgesBefore = true, log = () => {} }) {
  const own = threads === undefined ? {} : { threads }
  const judging = judgesBefore ? { evaluator: task.evaluators, evalSteps: 1 << 30 } : {}
  const run = train({ ...task.train, seed, output, saveSteps: 0, ...own, ...judging })
  const losses = []
  let [before, planned, seconds, evaluated] = [null, null, 0, 0]
  for await (const event of run) {
    if (event.type === 'begin') planned = event.plan.steps
    if (event.type === 'evaluation' && before === null) {
      before = event.metrics
      evaluated = event.seconds
    }
    if (event.type !== 'step') continue
    losses.push(event.loss)
    seconds = event.seconds - evaluated
    if (event.step % 10 === 0)
      log(`${task.name}, seed ${seed}: step ${event.step} of ${planned}, loss ${event.loss.toFixed(4)}`)
  }
  const { metrics, steps } = await run
  return { before, run: { seed, metrics: metrics ?? (await judge(output, task, own)), steps, seconds, losses } }
}

/** Metrics of a saved model. */
export async function judge(directory, task, options) {
  const model = await load(directory, { dtype: 'float32', ...options })
  try {
    return (await evaluate(model, task.evaluators)).metrics
  } finally {
    await model.dispose()
  }
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length

function report(task, { about, floors, metrics, before, runs }) {
  const ends = runs.map(({ losses }) => {
    const some = Math.min(10, losses.length)
    return [mean(losses.slice(0, some)), mean(losses.slice(-some))]
  })
  const [first, last] = [0, 1].map((i) => mean(ends.map((pair) => pair[i])).toFixed(4))
  return [
    task,
    ...about.map((line) => `  ${line}`),
    '',
    taskTable({ metrics, floors, before, runs }),
    '',
    `loss: ${first} in the first ten steps, ${last} in the last ten of ${runs[0].steps}; ` +
      `${mean(runs.map(({ seconds }) => seconds)).toFixed(0)} s a run`,
    '',
    '',
  ].join('\n')
}

async function main(recipe, argv) {
  const values = readOptions(recipe, argv)
  if (values === null) return
  const log = process.stderr.isTTY ? (text) => process.stderr.write(`\r\x1b[K${text}`) : () => {}
  const scratch = mkdtempSync(path.join(os.tmpdir(), `embedcore-${recipe.name}-`))
  const output = values.output ?? path.join(scratch, 'models')
  mkdirSync(output, { recursive: true })
  const source = values.data === undefined ? 'a synthetic set (no --data)' : 'real data (--data)'
  const result = {
    recipe: recipe.name,
    synthetic: values.data === undefined,
    processor: os.cpus()[0]?.model,
    tasks: [],
  }
  try {
    const models = modelsOf(recipe, values)
    for (const task of await recipe.tasks({ data: values.data ?? null, models, directory: scratch, log })) {
      const { name, about, floors, metrics } = task
      const done = { name, about, floors, metrics, before: null, runs: [] }
      for (const seed of values.seeds) {
        const folder = path.join(output, `${name}-${seed}`)
        const asked = { seed, output: folder, threads: values.threads, before: done.before === null, log }
        const { before, run } = await trainTask(task, asked)
        done.before ??= before
        done.runs.push(run)
      }
      log('')
      result.tasks.push(done)
      if (!values.json) process.stdout.write(report(`${recipe.name}, ${name}: ${source}`, done))
    }
    if (values.json) process.stdout.write(JSON.stringify(result) + '\n')
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

/** Runs the recipe with the options of the command line. Exit codes: 0; 1 it failed; 2 wrong use. */
export function runRecipe(recipe, argv = process.argv.slice(2)) {
  main(recipe, argv).catch((error) => {
    process.stderr.write(`${recipe.name}: ${error instanceof UsageError ? error.message : error.stack}\n`)
    process.exitCode = error instanceof UsageError ? 2 : 1
  })
}
