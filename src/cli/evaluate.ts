/** `embedcore evaluate`: judges a model, or the run of any search; with a limit or a baseline it serves CI. */
import path from 'node:path'
import type { EvaluationTask } from '../core/names.js'
import type { ReportedResult } from '../evaluate/results/html.js'
import type { RunEvaluation } from '../evaluate/run-types.js'
import type { Interval } from '../evaluate/statistics/types.js'
import type { Evaluation } from '../evaluate/types.js'
import { type Arguments, booleanOf, integerOf, numberOf, parseArguments, stringOf } from './arguments.js'
import type { CliIO, Core } from './contract.js'
import { EVALUATE_COMMAND_FLAGS } from './evaluate-flags.js'
import { defined, evaluatorOf, optionsOf, runOptionsOf } from './evaluate-options.js'
import { BaselineError, EXIT, ScoreError, UsageError } from './failures.js'
import { FileSink, StreamSink } from './output/sink.js'
import { withSession } from './session.js'
import { pairs } from './text.js'

export async function evaluateCommand(argv: readonly string[], io: CliIO): Promise<number> {
  const args = parseArguments('evaluate', argv, EVALUATE_COMMAND_FLAGS)
  if (args.positionals.length > 0)
    throw new UsageError(
      `evaluate takes no arguments but flags, and ${JSON.stringify(args.positionals[0])} was given; ` +
        'data are named with --data',
      args.topic,
    )
  checkResultFlags(args)
  if (stringOf(args, 'run') !== undefined) return judgeRun(args, io)
  const evaluator = evaluatorOf(args)
  return withSession(args, io, { bar: true }, async ({ signal, progress, load }) => {
    const options = optionsOf(args, signal)
    options.onProgress = ({ done, tokens, share }) => progress.update({ texts: done, tokens, share })
    const model = await load()
    const core = await io.core()
    const result = await core.evaluate(model, evaluator, options)
    progress.clear()
    return finish(args, io, core, { model: model.info.name, result }, signal)
  })
}

/** Before any work. */
function checkResultFlags(args: Arguments): void {
  for (const flag of ['min-score', 'max-drop', 'significance']) numberOf(args, flag)
  const needs: readonly (readonly [string, string])[] = [
    ['max-drop', 'baseline'],
    ['significance', 'baseline'],
    ['compare', 'html'],
  ]
  for (const [flag, other] of needs)
    if (args.values[flag] !== undefined && args.values[other] === undefined)
      throw new UsageError(`--${flag} needs --${other} FILE`, args.topic)
}

async function judgeRun(args: Arguments, io: CliIO): Promise<number> {
  return withSession(args, io, { bar: false }, async ({ signal }) => {
    const options = runOptionsOf(args, signal)
    const core = await io.core()
    const result = await core.evaluateRun(options)
    const model = result.runId ?? path.basename(stringOf(args, 'run')!)
    return finish(args, io, core, { model, result }, signal)
  })
}

type Judged = { model: string; result: Evaluation | RunEvaluation }

/** Prints the result and writes the files that were asked for; then it is held against limits. */
async function finish(args: Arguments, io: CliIO, core: Core, judged: Judged, signal: AbortSignal): Promise<number> {
  const { model, result } = judged
  const least = numberOf(args, 'min-score')
  const { items: _items, ...printed } = result
  await new StreamSink(io.stdout).write(
    booleanOf(args, 'json') ? `${JSON.stringify({ model, ...printed })}\n` : describe(model, result),
  )
  const baseline = stringOf(args, 'baseline')
  // Read before a new one is written, which may be the same file.
  const check =
    baseline === undefined
      ? null
      : await core.checkBaseline(baseline, judged, {
          signal,
          ...defined({
            maxDrop: numberOf(args, 'max-drop'),
            significance: numberOf(args, 'significance'),
            seed: integerOf(args, 'seed', 0),
          }),
        })
  await writeFiles(args, core, judged)
  if (check !== null && !booleanOf(args, 'json')) io.stderr.write(`embedcore: ${check.reason}\n`)
  if (check?.failed === true) throw new BaselineError(check.reason)
  if (least !== undefined && !(result.score >= least))
    throw new ScoreError(`${result.primaryMetric} is ${result.score}, below --min-score ${least}`)
  return EXIT.ok
}

async function writeFiles(args: Arguments, core: Core, judged: Judged): Promise<void> {
  const { model, result } = judged
  const file = (flag: string): string | undefined => stringOf(args, flag)
  const [items, mteb, html, baseline] = [file('write-items'), file('write-mteb'), file('html'), file('write-baseline')]
  if (items !== undefined) await core.writeItems(items, result)
  if (mteb !== undefined)
    await core.writeMtebResult(
      mteb,
      { name: model, revision: file('revision') },
      result,
      defined({ split: file('split'), subset: file('subset') }),
    )
  if (html !== undefined) {
    const others = file('compare')?.split(',') ?? []
    const results: ReportedResult[] = [judged]
    for (const other of others) {
      const known = await core.readBaseline(other.trim())
      results.push({ model: known.model === '' ? path.basename(other) : known.model, result: known })
    }
    const sink = await FileSink.open(html)
    try {
      await sink.write(await core.evaluationReport(results))
      await sink.commit()
    } catch (error) {
      await sink.discard()
      throw error
    }
  }
  if (baseline !== undefined) await core.writeBaseline(baseline, judged)
}

const ROWS: Readonly<Record<EvaluationTask | 'run', string>> = {
  sts: 'pairs',
  triplet: 'triplets',
  bitext: 'pairs',
  'bitext-matrix': 'rows',
  'pair-classification': 'pairs',
  reranking: 'queries',
  retrieval: 'queries',
  clustering: 'texts',
  classification: 'texts',
  'zero-shot': 'texts',
  'token-classification': 'sentences',
  geometry: 'texts',
  run: 'queries',
}

function describe(model: string, result: Evaluation | RunEvaluation): string {
  const { task, primaryMetric, score, metrics, rows, seconds, interval, views = [] } = result
  const documents = 'documents' in result && result.documents > 0 ? `, ${result.documents} documents` : ''
  const lines = [
    `${model}: ${primaryMetric} ${decimals(score)}${range(interval)} ` +
      `(${rows} ${ROWS[task]}${documents}, ${seconds.toFixed(1)} s)\n\n`,
    pairs(
      Object.entries(metrics).map(([name, value]) => [name, name.startsWith('num_') ? String(value) : decimals(value)]),
    ),
  ]
  for (const { view, groups } of views)
    lines.push(
      `\nby ${view}\n`,
      pairs(
        groups.map(({ group, items, score: own, interval: around }) => [
          group,
          `${decimals(own)}${range(around)} (${items})`,
        ]),
      ),
    )
  if ('unjudgedQueries' in result && result.unjudgedQueries + result.missingQueries > 0)
    lines.push(
      `\n${result.unjudgedQueries} queries of the run have no judgments, ` +
        `${result.missingQueries} judged queries have no results\n`,
    )
  return lines.join('')
}

const range = (interval: Interval | undefined): string =>
  interval === undefined ? '' : ` [${decimals(interval.low)}, ${decimals(interval.high)}]`

/** Four decimals, as sentence-transformers prints metrics. */
const decimals = (value: number): string => value.toFixed(4)
