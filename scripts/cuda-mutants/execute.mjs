// Runs a program within a limit of processor time, which a busy machine does not use up, and one of wall-clock time.
import { spawn } from 'node:child_process'
import { constants } from 'node:os'

// The limit counts for each process that the program starts; `times` gives what all of them took together.
const MEASURED = 'ulimit -c 0; ulimit -S -t "$0"; "$@"; code=$?; times >&3; exit $code'

/** Of programs that run: each is the leader of a group, which ends as a whole. */
const groups = new Set()

function end(group) {
  try {
    process.kill(-group, 'SIGKILL')
  } catch (error) {
    if (error.code !== 'ESRCH') throw error
  }
}
process.on('exit', () => groups.forEach(end))
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => process.exit(128 + constants.signals[signal]))

/** The sum of all times in the output of `times`, such as "0m0.010000s 0m0.000000s". */
export function secondsOf(times) {
  return [...times.matchAll(/(\d+)m([\d.]+)s/g)].reduce((sum, [, m, s]) => sum + 60 * Number(m) + Number(s), 0)
}

const signalOf = (code) => Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0]

/**
 * Ends with { code, signal, late, output, seconds }. `seconds`: user and system time of the program and of what it has
 * started. `late`: 'processor' if a process has taken `limits.processor` seconds, rounded down to whole ones but at
 * least 1, and 'wall' if `limits.wall` seconds are over; either ends it.
 */
export function execute(file, args, limits, env = {}) {
  const allowed = Math.max(1, Math.floor(limits.processor))
  return new Promise((resolve, reject) => {
    const child = spawn('/bin/sh', ['-c', MEASURED, String(allowed), file, ...args], {
      env: { ...process.env, ...env, LC_ALL: 'C' }, // of the sentence below
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      detached: true,
    })
    let output = ''
    let times = ''
    let late
    const keep = (part) => (output = (output + part).slice(-20_000))
    child.stdout.setEncoding('utf8').on('data', keep)
    child.stderr.setEncoding('utf8').on('data', keep)
    child.stdio[3].setEncoding('utf8').on('data', (part) => (times += part))
    child.on('error', reject)
    if (child.pid === undefined) return
    groups.add(child.pid)
    const timer = setTimeout(
      () => {
        late = 'wall'
        end(child.pid)
      },
      Math.max(0, limits.wall) * 1000,
    )
    child.on('close', (code) => {
      clearTimeout(timer)
      groups.delete(child.pid)
      const seconds = secondsOf(times)
      const signal = signalOf(code)
      // A program that has started the one that is ended, such as a compiler, has a status of its own and says so.
      const isOver = signal === 'SIGXCPU' || (code !== 0 && output.includes('CPU time limit exceeded'))
      if (late === undefined && isOver) late = 'processor'
      resolve({ code, signal, late, output, seconds })
    })
  })
}
