/** Describes the machine and measures its highest rates. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { BENCH, CACHE, ROOT } from './paths.mjs'
import { median, summary } from './stats.mjs'

const ISA = ['avx2', 'fma', 'avx_vnni', 'avx512f', 'avx512bw', 'avx512_vnni', 'avx512_bf16', 'amx_bf16', 'amx_int8']

function cpuinfo() {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8')
  } catch {
    return '' // not Linux
  }
}

function tryRun(command, args, options) {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], ...options }).trim()
  } catch {
    return null
  }
}

/** cores: as of availableCores(); threads: how many the bench uses. */
export function describeMachine(cores, threads) {
  const info = cpuinfo()
  const field = (name) => new RegExp(`^${name}\\s*: (.*)$`, 'm').exec(info)?.[1] ?? null
  const flags = new Set((field('flags') ?? '').split(' '))
  const model = os.cpus()[0]?.model.trim() ?? os.arch()
  const slug = model
    .toLowerCase()
    .replace(/\((r|tm)\)|\b(cpu|processor)\b|@.*$/g, ' ')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
  // Cloud machines often give only the brand; family and model identify the generation.
  const generation = field('cpu family') ? `-f${field('cpu family')}m${field('model')}` : ''
  return {
    cpu: model,
    cpuSlug: slug + generation,
    device: `${slug}${generation}-${threads}t`,
    family: field('cpu family'),
    modelNumber: field('model'),
    physicalCores: cores,
    logicalCores: os.cpus().length,
    isa: ISA.filter((flag) => flags.has(flag)),
    virtualised: flags.has('hypervisor'),
    memoryBytes: os.totalmem(),
    os: `${os.type()} ${os.release()} ${os.arch()}`,
    node: process.version,
    compiler: tryRun(process.env.CXX ?? 'g++', ['--version'])?.split('\n')[0] ?? null,
    loadAverageBefore: os.loadavg()[0],
    threads,
  }
}

/** Commit of the package; `dirty` when tracked files outside bench/results differ from it. */
export function describeCommit() {
  const git = (...args) => tryRun('git', args, { cwd: ROOT })
  const version = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version
  const changed = git(
    'status',
    '--porcelain',
    '--untracked-files=no',
    '--',
    '.',
    ':!bench/results',
    ':!bench/baselines',
  )
  return { version, commit: git('rev-parse', 'HEAD'), dirty: changed === null ? null : changed !== '' }
}

/**
 * Compiles native/peak.cc. Returns { best, inTurn }, or { reason } if that fails; then shares are blank. best(): the
 * best of several runs, with the read bandwidth. inTurn(): one short run, to be made between the measurements; null if
 * it fails.
 */
export function peakMeter(threads) {
  const binary = join(CACHE, 'peak')
  const compiler = process.env.CXX ?? 'g++'
  const sources = ['peak.cc', 'limits.cc'].map((name) => join(BENCH, 'native', name))
  const measure = (...args) =>
    JSON.parse(execFileSync(binary, [String(threads), ...args], { encoding: 'utf8', stdio: 'pipe' }))
  mkdirSync(CACHE, { recursive: true })
  try {
    execFileSync(
      compiler,
      ['-std=c++20', '-O3', '-march=native', '-ffp-contract=fast', '-pthread', ...sources, '-o', binary],
      { stdio: 'pipe' },
    )
    measure('turn')
  } catch (error) {
    return {
      reason: `${compiler} could not build or run bench/native/peak.cc: ${String(error.stderr ?? error.message)
        .trim()
        .split('\n')
        .at(-1)}`,
    }
  }
  return {
    best: () => measure(),
    inTurn() {
      try {
        return measure('turn')
      } catch {
        return null
      }
    },
  }
}

export const PRECISIONS = ['float32', 'bfloat16', 'int8']

/**
 * The limit of a precision in operations per second. Without an instruction for it, the limit is the rate of float32.
 */
const peakOf = (peak, precision) => (peak[precision] ?? peak.float32).gops * 1e9

/**
 * The limits of each cell: { cell: { precision: { median, min, max, rounds } } }, operations per second, from the peaks
 * measured in turn with it. turns: Map of cell name to those peaks.
 */
export function peaksOfCells(turns) {
  return Object.fromEntries(
    [...turns].map(([cell, peaks]) => [
      cell,
      Object.fromEntries(PRECISIONS.map((p) => [p, summary(peaks.map((peak) => peakOf(peak, p)))])),
    ]),
  )
}

/** `peak` as measured before all cells, with the best and the median of those measured in turn too. */
export function wholePeak(peak, turns) {
  const all = [...turns.values()].flat()
  const out = { ...peak }
  for (const p of PRECISIONS) {
    const rates = all.map((one) => one[p]?.gops).filter((rate) => rate !== undefined)
    if (peak[p] && rates.length > 0)
      out[p] = { ...peak[p], gops: Math.max(peak[p].gops, ...rates), median: median(rates) }
  }
  return out
}
