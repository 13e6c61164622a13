import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EmbedCoreError } from '../../src/core/errors.js'
import { fakeCore, run } from '../support/fake-core.js'

let folder: string
let csv: string
const texts = Array.from({ length: 12 }, (_, i) => `text ${i * i} of ${i}`)
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'embedcore-cli-map-'))
  csv = path.join(folder, 'shop.csv')
  await writeFile(csv, `title,kind\n${texts.map((text, i) => `${text},${i % 3 ? 'b' : 'a'}\n`).join('')}`)
})
afterAll(() => rm(folder, { recursive: true }))

interface Line {
  index: number
  x: number
  y: number
  label: string | null
  text: string
}

describe('map', () => {
  test('--out writes the page', async () => {
    const core = fakeCore()
    const out = path.join(folder, 'map.html')
    const flags = ['--file', csv, '--column', 'title', '--label', 'kind', '--title', 'Shop', '--prompt', 'p: ']
    const { code, text, err } = await run(['map', '-m', './m', '-o', out, ...flags], { core })
    expect([code, text, err]).toEqual([0, '', `embedcore: a map of 12 texts to ${out}\n`])
    expect(core.loads[0]!.model).toBe('./m')
    expect(core.calls[0]!.options.prompt).toBe('p: ')
    expect(core.disposed).toBe(1)
    const page = await readFile(out, 'utf8')
    expect(page).toContain('<h1>Shop</h1>')
    expect(page).toContain('</i>b (8)</button>')
    expect(page.match(/<circle data-i/g)).toHaveLength(12)
  })

  test('--json prints the points, of arguments and of standard input too', async () => {
    const { code, lines, err } = await run(['map', '--json', ...texts])
    expect([code, err]).toEqual([0, ''])
    const points = lines as unknown as Line[]
    expect(points.map(({ index, label, text }) => [index, label, text])).toEqual(
      texts.map((text, i) => [i, null, text]),
    )
    expect(points.every(({ x, y }) => Number.isFinite(x) && Number.isFinite(y))).toBe(true)
    const piped = await run(['map', '--json'], { stdin: texts.join('\n') })
    expect(piped.lines).toEqual(lines)
    const umap = await run(['map', '--json', '--method', 'umap', '--neighbors', '4', '--epochs', '20', ...texts])
    expect(umap.lines).toHaveLength(12)
    expect(umap.lines).not.toEqual(lines)
    const sample = await run(['map', '--json', '--max-points', '5', '--file', csv, '--column', '1', '--header'])
    expect(sample.lines).toHaveLength(5)
  })

  test.each([
    [['map', 'a', 'b', 'c'], 2, /map writes a page: say where with --out FILE, or ask for lines with --json/],
    [['map', '--json', '--title', 'x', 'a'], 2, /--title is of the page/],
    [['map', '--json', '--neighbors', '3', 'a'], 2, /--neighbors is for --method umap/],
    [['map', '--json', '--method', 'tsne', 'a'], 2, /--method is one of pca, umap/],
    [['map', '--json', '--file', 'x.txt', 'a'], 2, /texts come either as arguments or from a file/],
    [['map', '--json', 'a', 'b'], 3, /Expected 3 texts or more for a map but found 2/],
    [
      ['map', '--json', '--min-dist', '2', '--method', 'umap', 'a', 'b', 'c'],
      2,
      /Expected a number from 0 to 1 for minDist/,
    ],
    [['map', '--json', '--file', '/nowhere/x.txt'], 3, /no such file/],
  ])('%j', async (argv, code, message) => {
    const { code: found, err, text } = await run(argv)
    expect(err + text).toMatch(message)
    expect(found).toBe(code)
  })

  test('a run that fails leaves no page', async () => {
    const out = path.join(folder, 'broken.html')
    const core = fakeCore({ encodeError: () => new EmbedCoreError('ERR_EMBEDCORE_QUEUE_FULL', 'full') })
    expect((await run(['map', '-o', out, ...texts], { core })).code).toBe(1)
    expect((await readdir(folder)).filter((name) => name.startsWith('broken'))).toEqual([])
  })
})
