// Threads and memory that fail inside the addon: a script runs itself again as a child with faults.cc preloaded, and
// the child says which thread or allocation fails next.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const SOURCE = fileURLToPath(new URL('faults.cc', import.meta.url))

/** The reason why this process cannot run such a child; null = it can. */
export function reasonNotTo() {
  if (process.platform !== 'linux') return 'only the Linux loader preloads the library that makes things fail'
  if (process.env.LD_PRELOAD) return 'another library is preloaded: a sanitizer has its own operator new'
  return null
}

/** Builds the library once and runs the script again with each list of arguments; every child must succeed. */
export function runChildren(script, argumentLists) {
  const directory = mkdtempSync(path.join(tmpdir(), 'embedcore-faults-'))
  try {
    const library = path.join(directory, 'libfaults.so')
    const flags = ['-std=c++20', '-O1', '-fPIC', '-shared', '-o', library, SOURCE, '-ldl']
    const built = spawnSync(process.env.CXX ?? 'g++', flags, { encoding: 'utf8' })
    assert.equal(built.status, 0, built.error?.message ?? built.stderr)
    for (const list of argumentLists) {
      const control = path.join(directory, 'control')
      writeFileSync(control, Buffer.alloc(16))
      const child = spawnSync(process.execPath, [...process.execArgv, fileURLToPath(script), ...list], {
        env: { ...process.env, LD_PRELOAD: library, EMBEDCORE_FAULTS: control },
        encoding: 'utf8',
        timeout: 120_000,
      })
      const name = list.join(' ')
      assert.equal(child.signal, null, `${name}: ${child.stdout}${child.stderr}`)
      assert.equal(child.status, 0, `${name}: ${child.stdout}${child.stderr}`)
      console.log(`${name}: ${child.stdout.trim().split('\n').at(-1)}`)
    }
  } finally {
    rmSync(directory, { recursive: true })
  }
}

/** In the child: the number of threads or allocations from now on at which one fails. */
class Countdown {
  constructor(offset) {
    this.offset = offset
    this.file = openSync(process.env.EMBEDCORE_FAULTS, 'r+')
  }
  set left(count) {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64LE(BigInt(count))
    writeSync(this.file, bytes, 0, 8, this.offset)
  }
  get left() {
    const bytes = Buffer.alloc(8)
    readSync(this.file, bytes, 0, 8, this.offset)
    return Number(bytes.readBigInt64LE())
  }
  close() {
    closeSync(this.file)
  }
}

/**
 * In the child: calls attempt() while the first, second, ... thread or allocation fails, until an attempt has fewer of
 * them. Returns the codes of its failures, counted. `step(n)` is the distance to the next n.
 */
export async function failEach(what, expected, attempt, step = () => 1) {
  const countdown = new Countdown(what === 'threads' ? 0 : 8)
  const seen = {}
  let n = 1
  for (; ; n += step(n)) {
    process.stderr.write(`${what} ${n}\n`) // the last line says where a child died
    countdown.left = n
    const errors = await attempt()
    const reached = countdown.left <= 0
    countdown.left = 0
    for (const error of errors) {
      assert(expected.includes(error.code), `${what} ${n}: ${error.stack}`)
      seen[error.code] = (seen[error.code] ?? 0) + 1
    }
    if (!reached) break
  }
  countdown.close()
  assert(n > 1, `nothing took ${what}`)
  return { until: n, ...seen }
}
