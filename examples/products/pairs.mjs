/** Product pairs in the format of Ditto: `COL name VAL value … <tab> COL … <tab> 0 or 1`. */
import { readFileSync } from 'node:fs'

/** Language tags and quotes are traces of how the wdc sets were collected. */
const clean = (text) =>
  text
    .replace(/"?@[a-z]{2}(-[a-z]{2})?(?![a-z])/gi, ' ')
    .replace(/"/g, ' ')
    .replace(/\s+/g, ' ')
    .trim()

function describe(record) {
  const fields = new Map(
    record.split(/(?:^|\s)COL /).flatMap((part) => {
      const found = /^(\S+) VAL ?(.*)$/s.exec(part)
      return found ? [[found[1], clean(found[2])]] : []
    }),
  )
  const title = fields.get('title') ?? ''
  const maker = fields.get('manufacturer') ?? ''
  return maker === '' || title.toLowerCase().includes(maker.toLowerCase()) ? title : `${maker} ${title}`
}

/** [{ left, right, match }] */
export function readPairs(file) {
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean)
  return lines.map((line, i) => {
    const [left, right, label] = line.split('\t')
    if (label === undefined || !/^[01]$/.test(label.trim()))
      throw new Error(`Expected two products and 0 or 1, divided by tabs, in line ${i + 1} of ${file}`)
    return { left: describe(left), right: describe(right), match: label.trim() === '1' }
  })
}

/** Texts that are connected by matches have the same number. Map of text to number. */
export function components(pairs) {
  const parent = new Map()
  const root = (text) => {
    let at = text
    while (parent.get(at) !== at) {
      parent.set(at, parent.get(parent.get(at)))
      at = parent.get(at)
    }
    return at
  }
  for (const { left, right, match } of pairs) {
    for (const text of [left, right]) if (!parent.has(text)) parent.set(text, text)
    if (match) parent.set(root(left), root(right))
  }
  const numbers = new Map()
  return new Map(
    [...parent.keys()].map((text) => {
      const own = root(text)
      if (!numbers.has(own)) numbers.set(own, numbers.size)
      return [text, numbers.get(own)]
    }),
  )
}
