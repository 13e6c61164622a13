/**
 * The taxonomy of Open Food Facts: blocks of lines `en:name, synonym`, `fr:…`, below `<en:parent`. The first name of
 * each language is its translation.
 */
import { readFileSync } from 'node:fs'

const first = (names) => names.split(/,(?=\s)/)[0].trim()

/** [{ id, category, names: { en, fr, … } }]; the category is the topmost ancestor, as far as it is in the file. */
export function readTaxonomy(file) {
  const entries = readFileSync(file, 'utf8')
    .split(/\n\s*\n/)
    .flatMap((block) => {
      const lines = block.split('\n')
      const parent = lines.map((line) => /^<\s*(en:.*)$/.exec(line)?.[1].trim()).find(Boolean) ?? null
      const names = {}
      for (const line of lines) {
        const found = /^(en|fr|es|zh):(.+)$/.exec(line)
        if (found && first(found[2]) !== '') names[found[1]] = first(found[2])
      }
      return names.en === undefined ? [] : [{ parent, names }]
    })
  const parents = new Map(entries.map(({ parent, names }) => [`en:${names.en}`.toLowerCase(), parent]))
  const top = (id) => {
    const seen = new Set()
    let at = id.toLowerCase()
    while (parents.get(at) && !seen.has(at)) {
      seen.add(at)
      at = parents.get(at).toLowerCase()
    }
    return at
  }
  return entries.map(({ names }) => ({ id: `off ${names.en}`, category: top(`en:${names.en}`), names }))
}
