/** Opens saved models in Python, where there is one with sentence-transformers and peft (EMBEDCORE_TEST_PYTHON). */
import { execFileSync } from 'node:child_process'
import path from 'node:path'

const python = process.env['EMBEDCORE_TEST_PYTHON'] ?? 'python3'

export const hasPython = (() => {
  try {
    execFileSync(python, ['-c', 'import sentence_transformers, peft'], { stdio: 'ignore', timeout: 300_000 })
    return true
  } catch {
    return false
  }
})()

/** Two float32 implementations of the same network: as in the tests of encode. */
export const CLOSE = 2e-5

/** The vectors of texts that open_in_python.py gives for these arguments. */
export function openInPython(args: readonly string[], texts: readonly string[]): number[][] {
  const script = path.join(import.meta.dirname, 'open_in_python.py')
  const printed = execFileSync(python, [script, ...args, ...texts], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  return JSON.parse(printed) as number[][]
}
