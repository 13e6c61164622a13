// One mutant: compiled, linked with the unchanged rest, and tested until a test fails.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { execute } from './execute.mjs'
import { changed } from './mutations.mjs'

/** A run that takes this many times as long as on unchanged kernels, and this long, hangs. */
const HANG_FACTOR = 10
const HANG_SECONDS = 10
/** Wall-clock time for each second of processor time: on a busy machine, or for a program that waits for ever. */
const WALL_FACTOR = 30
/** For what is not part of a mutant's time: the unchanged kernels. */
const UNCHANGED = { processor: 1200, wall: 1200 * WALL_FACTOR }
/** gtest says so where at least one test has run and none has failed. */
const PASSED = /\[ {2}PASSED {2}\] [1-9]/

const now = () => performance.now() / 1000

class OutOfTime extends Error {}
class Uncompiled extends Error {}

export class Trials {
  /** `limit`: seconds of processor time for a mutant. */
  constructor(units, limit) {
    this.units = units
    this.limit = limit
    this.usual = new Map() // processor seconds of each run on unchanged kernels, as promises
    this.references = new Map() // objects of unchanged units, as promises
    this.controls = {} // paths of what is linked of them, as promises
    this.kept = join(units.build, 'cuda-mutants', units.stamp)
    mkdirSync(this.kept, { recursive: true })
  }

  /** The object of a unchanged unit, compiled like a mutant's; kept for the next call. */
  reference(unit) {
    if (!this.references.has(unit.name)) this.references.set(unit.name, this.compileReference(unit))
    return this.references.get(unit.name)
  }
  async compileReference(unit) {
    const object = join(this.kept, `${unit.name}.o`)
    if (!existsSync(object)) {
      const [file, args] = this.units.compilation(unit, this.units.cuda, `${object}.new`)
      const { code, output } = await execute(file, args, UNCHANGED)
      if (code !== 0) throw new Error(`${unit.name} does not compile unchanged:\n${output}`)
      renameSync(`${object}.new`, object)
    }
    return readFileSync(object)
  }

  /** The library or tests of the unchanged units, compiled like a mutant's. */
  control(inPlugin) {
    this.controls[inPlugin] ??= this.linkControl(inPlugin)
    return this.controls[inPlugin]
  }
  async linkControl(inPlugin) {
    const objects = new Map()
    for (const unit of this.units.all.filter((one) => one.inPlugin === inPlugin)) {
      await this.reference(unit)
      objects.set(unit.name, join(this.kept, `${unit.name}.o`))
    }
    const path = join(this.kept, inPlugin ? 'control.so' : 'control')
    const { code, output } = await execute(...this.units.link(inPlugin, objects, path), UNCHANGED)
    if (code !== 0) throw new Error(`The unchanged kernels cannot be linked:\n${output}`)
    return path
  }

  /** The processor seconds of a run on unchanged kernels, which must pass: else it shows nothing. */
  usualSeconds(inPlugin, run) {
    const key = JSON.stringify([inPlugin, run])
    if (!this.usual.has(key)) this.usual.set(key, this.measure(inPlugin, run))
    return this.usual.get(key)
  }
  async measure(inPlugin, run) {
    const { file, args, env } = this.units.program(inPlugin, run, await this.control(inPlugin))
    const { code, output, seconds } = await execute(file, args, UNCHANGED, env)
    if (code !== 0 || !PASSED.test(output))
      throw new Error(`${run.filter} does not pass on unchanged kernels (${JSON.stringify(env)}):\n${output}`)
    return seconds
  }

  /**
   * { result, by, seconds }; result: 'caught', 'survived', 'late' (not caught within the limit), and for what is no
   * mutant 'uncompiled' or 'identical'; by: what has caught it, or which limit is over; seconds: of processor time.
   */
  async try(mutant) {
    const directory = mkdtempSync(join(tmpdir(), 'embedcore-mutant-'))
    const trial = { directory, spent: 0, begin: now(), objects: { true: new Map(), false: new Map() } }
    // Of the unchanged kernels, which are compiled and measured when a mutant asks for them, neither time counts.
    trial.aside = async (promise) => {
      const from = now()
      const value = await promise
      trial.begin += now() - from
      return value
    }
    trial.execute = async (file, args, most = Infinity, env = {}) => {
      const left = this.limit - trial.spent
      const wall = this.limit * WALL_FACTOR - (now() - trial.begin)
      if (left < 1) throw new OutOfTime(`${this.limit} s of processor time`)
      const done = await execute(file, args, { processor: Math.min(most, left), wall }, env)
      trial.spent += done.seconds
      if (done.late === 'wall') throw new OutOfTime(`${this.limit * WALL_FACTOR} s of wall-clock time`)
      if (done.late && left <= most) throw new OutOfTime(`${this.limit} s of processor time`)
      return done
    }
    try {
      this.overlay(mutant, directory)
      return { ...(await this.judge(mutant, trial)), seconds: trial.spent }
    } catch (error) {
      if (error instanceof OutOfTime) return { result: 'late', by: error.message, seconds: trial.spent }
      if (error instanceof Uncompiled) return { result: 'uncompiled', seconds: trial.spent }
      throw error
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  }

  /** cuda/ with the mutant in place of its file. */
  overlay(mutant, directory) {
    const at = join(directory, 'cuda')
    mkdirSync(at)
    for (const name of readdirSync(this.units.cuda))
      if (name !== mutant.file) symlinkSync(join(this.units.cuda, name), join(at, name))
    const text = readFileSync(join(this.units.cuda, mutant.file), 'utf8')
    writeFileSync(join(at, mutant.file), changed(text, mutant))
  }

  async judge(mutant, trial) {
    const units = this.units.of(mutant.file)
    const [first, ...others] = units.filter(({ inPlugin }) => inPlugin)
    // The first unit alone, which most mutants do not get past.
    if (await this.compile(first, trial)) {
      const by = await this.test(
        true,
        [...first.runs].filter(({ order }) => order === 0),
        trial,
      )
      if (by) return { result: 'caught', by }
    }
    let more = false
    for (const unit of others) more = (await this.compile(unit, trial)) || more
    if (trial.objects.true.size > 0) {
      // Each run once; those of the first unit again only if there is more to be seen.
      const wanted = units.filter(({ name }) => trial.objects.true.has(name)).flatMap(({ runs }) => runs)
      const runs = new Map(wanted.map((run) => [JSON.stringify(run), run]))
      if (!more) for (const run of first.runs) if (run.order === 0) runs.delete(JSON.stringify(run))
      for (const order of [0, 1, 2]) {
        const next = [...runs.values()].filter((run) => run.order === order)
        const by = (await this.test(true, next, trial)) ?? (await this.testTiles(units, order, trial))
        if (by) return { result: 'caught', by }
      }
      return { result: 'survived' }
    }
    for (const order of [0, 1, 2]) {
      const by = await this.testTiles(units, order, trial)
      if (by) return { result: 'caught', by }
    }
    return { result: trial.objects.false.size > 0 ? 'survived' : 'identical' }
  }

  async testTiles(units, order, trial) {
    for (const unit of units.filter(({ inPlugin }) => !inPlugin)) {
      const runs = unit.runs.filter((run) => run.order === order)
      if (runs.length === 0 || !(await this.compile(unit, trial))) continue
      const by = await this.test(false, runs, trial)
      if (by) return by
    }
    return undefined
  }

  /** Whether the unit's object differs from that of the unchanged sources. */
  async compile(unit, trial) {
    const objects = trial.objects[unit.inPlugin]
    if (objects.has(unit.name)) return true
    const reference = await trial.aside(this.reference(unit))
    const object = join(trial.directory, `${unit.name}.o`)
    const [file, args] = this.units.compilation(unit, join(trial.directory, 'cuda'), object)
    const { code } = await trial.execute(file, args)
    if (code !== 0) throw new Uncompiled()
    if (readFileSync(object).equals(reference)) return false
    objects.set(unit.name, object)
    return true
  }

  /** What catches the mutant, or undefined. */
  async test(inPlugin, runs, trial) {
    if (runs.length === 0) return undefined
    const path = join(trial.directory, inPlugin ? 'mutant.so' : 'mutant')
    const [linker, options] = this.units.link(inPlugin, trial.objects[inPlugin], path)
    const linked = await trial.execute(linker, options)
    if (linked.code !== 0) throw new Error(`A mutant cannot be linked:\n${linked.output}`)
    for (const run of runs) {
      const usual = await trial.aside(this.usualSeconds(inPlugin, run))
      const hangs = Math.max(HANG_SECONDS, HANG_FACTOR * usual)
      const { file, args, env } = this.units.program(inPlugin, run, path)
      const { code, signal, late, output } = await trial.execute(file, args, hangs, env)
      const where = inPlugin ? `sm_${run.arch}, seed ${run.seed}` : `tiles, seed ${run.seed}`
      if (late) return `the time limit: a hang (${where}, usually ${usual.toFixed(1)} s)`
      if (code !== 0)
        return `${/^(?:\S+:\d+: Failure|.*emulat.*)$/m.exec(output)?.[0] ?? signal ?? `status ${code}`} (${where})`
      if (!PASSED.test(output)) return `tests that end without a result (${where})`
    }
    return undefined
  }
}
