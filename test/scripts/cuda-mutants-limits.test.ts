// The limits that scripts/cuda-mutants.mjs gives a program, and what it keeps of a run that was ended.
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'

import { execute, secondsOf } from '../../scripts/cuda-mutants/execute.mjs'
import { Verdicts } from '../../scripts/cuda-mutants/verdicts.mjs'

const directory = mkdtempSync(path.join(tmpdir(), 'embedcore-limits-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const shell = (script: string, limits: { processor: number; wall: number }) =>
  execute('/bin/sh', ['-c', script], limits, { GREETING: 'hello' })
const MUCH = { processor: 100, wall: 1000 }

describe.skipIf(process.platform !== 'linux')('a program within limits', () => {
  it('ends with its status, its output and the time that it took', async () => {
    expect(await shell('echo $GREETING; echo you >&2; exit 3', MUCH)).toMatchObject({
      code: 3,
      late: undefined,
      output: 'hello\nyou\n',
    })
    expect(await shell('kill -SEGV $$', MUCH)).toMatchObject({ signal: 'SIGSEGV', late: undefined })
  })

  it('is ended after its processor time, which counts that of programs that it starts', async () => {
    const endless = await shell('while :; do :; done', { processor: 1.9, wall: 1000 })
    expect(endless.late).toBe('processor')
    // The limit counts ticks of the clock, the result is exact.
    expect(endless.seconds).toBeGreaterThan(0.5)
    const started = await shell("sh -c 'while :; do :; done'; exit 7", { processor: 1, wall: 1000 })
    expect(started).toMatchObject({ code: 7, late: 'processor' })
    expect(started.seconds).toBeGreaterThan(0.5)
  })

  it('may wait for longer than that', async () => {
    const waited = await shell('sleep 1.5', { processor: 1, wall: 1000 })
    expect(waited).toMatchObject({ code: 0, late: undefined })
    expect(waited.seconds).toBeLessThan(1)
  })

  it('is ended with all that it has started when its wall-clock time is over', async () => {
    const { late, output } = await shell('sleep 1000 & echo $!; wait', { processor: 100, wall: 0.5 })
    expect(late).toBe('wall')
    // Gone, or waiting for its parent to look at how it ended.
    const state = () => {
      try {
        return / ([A-Z]) /.exec(readFileSync(`/proc/${Number(output)}/stat`, 'utf8'))?.[1]
      } catch (error) {
        return (error as NodeJS.ErrnoException).code
      }
    }
    await expect.poll(state).toMatch(/^(?:ENOENT|ESRCH|Z)$/)
  })

  it('has its time in the format of the shell', () => {
    expect(secondsOf('0m0.010000s 0m0.020000s\n1m2.500000s 0m0.000000s\n')).toBeCloseTo(62.53, 10)
  })
})

describe('verdicts', () => {
  const mutant = (start: number) => ({ file: 'norm.cu', start, end: start + 1, to: '-' })

  it('are those of a run before, even if it was ended while it wrote', () => {
    const file = path.join(directory, 'kept', 'verdicts.jsonl')
    const first = new Verdicts(file)
    expect(first.of(mutant(1))).toBeUndefined()
    first.add(mutant(1), { result: 'caught', by: 'a test' })
    appendFileSync(file, '\n{"id":"norm.cu:2:3:-","result":"cau')
    const second = new Verdicts(file)
    expect(second.of(mutant(1))).toEqual({ result: 'caught', by: 'a test' })
    expect(second.of(mutant(2))).toBeUndefined()
    second.add(mutant(2), { result: 'survived' })
    const third = new Verdicts(file)
    expect([1, 2].map((start) => third.of(mutant(start))?.result)).toEqual(['caught', 'survived'])
    third.forget()
    expect(third.of(mutant(1))).toBeUndefined()
    expect(new Verdicts(file).of(mutant(2))).toBeUndefined()
  })
})
