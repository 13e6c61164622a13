// What scripts/cuda-report.mjs keeps of a compilation: used again as long as nothing that it depends on has changed.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'

import { ReportCache } from '../../scripts/cuda-report/cache.mjs'

let folder: string
let made: number
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'embedcore-report-'))
  made = 0
  mkdirSync(path.join(folder, 'native/ops'), { recursive: true })
  write('norm.cu', '#include "rows.cuh"\n#include <cstdint>\n#include "ops/norm.h"\n')
  write('rows.cuh', '#if defined(EMULATED)\n  #include "emulated.h"\n#endif\n')
  write('emulated.h', '')
  write('native/ops/norm.h', '')
  write('other.h', '')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const write = (name: string, text: string) => writeFileSync(path.join(folder, name), text)
/** The number of the compilation that the result is of. */
function result(args = ['-O3'], common = ['nvcc 13.0']) {
  const cache = new ReportCache(path.join(folder, 'kept'), [path.join(folder, 'native')], common)
  return cache.get('norm-80', path.join(folder, 'norm.cu'), args, () => Promise.resolve(++made))
}

it('is compiled once', async () => {
  expect([await result(), await result()]).toEqual([1, 1])
  write('other.h', 'changed, and included by nothing')
  expect(await result()).toBe(1)
})

it.each(['norm.cu', 'rows.cuh', 'emulated.h', 'native/ops/norm.h'])(
  'is compiled again after a change of %s',
  async (name) => {
    expect(await result()).toBe(1)
    write(name, '// changed')
    expect(await result()).toBe(2)
  },
)

it('is compiled again with other flags or another compiler, and only the last result is kept', async () => {
  expect(await result()).toBe(1)
  expect(await result(['-O2'])).toBe(2)
  expect(await result(['-O2'], ['nvcc 13.1'])).toBe(3)
  expect(readdirSync(path.join(folder, 'kept'))).toHaveLength(1)
  expect(await result()).toBe(4)
})
