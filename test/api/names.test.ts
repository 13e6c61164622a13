/** Each list of names occurs once in TypeScript, and the native side knows every name. */
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import * as names from '../../src/core/names.js'
import { ROOT } from '../support/golden.js'

const sources = readdirSync(path.join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => ({ name, text: readFileSync(path.join(ROOT, 'src', name), 'utf8') }))
const native = readFileSync(path.join(ROOT, 'native/binding/convert.cc'), 'utf8')

describe('lists of names', () => {
  test.each([
    ['POOLINGS', names.POOLINGS],
    ['ATTENTIONS', names.ATTENTIONS],
    ['DTYPES', names.DTYPES],
    ['SIMILARITIES', names.SIMILARITIES],
    ['ACTIVATIONS', names.ACTIVATIONS],
    ['PRECISIONS', names.PRECISIONS.filter((name) => name !== 'float32')],
  ] as const)('%s are known to the native side', (_, list) => {
    for (const name of list) expect(native).toContain(`{"${name}", `)
  })

  test.each([
    ['POOLINGS', names.POOLINGS],
    ['ATTENTIONS', names.ATTENTIONS],
    ['DTYPES', names.DTYPES],
    ['SIMILARITIES', names.SIMILARITIES],
    ['PRECISIONS', names.PRECISIONS],
    ['ACTIVATIONS', names.ACTIVATIONS],
    ['OUTPUTS', names.OUTPUTS],
    ['FUSIONS', names.FUSIONS],
    ['SIDES', names.SIDES],
    ['EVALUATIONS', names.EVALUATIONS],
  ] as const)('%s are listed in one place', (_, list) => {
    // As an array or as a union of types, with any line breaks.
    const [first, second] = list
    const repeated = new RegExp(`'${first}'\\s*(,|\\|)\\s*'${second}'`)
    expect(sources.filter(({ text }) => repeated.test(text)).map(({ name }) => name)).toEqual([
      path.join('core', 'names.ts'),
    ])
  })
})
