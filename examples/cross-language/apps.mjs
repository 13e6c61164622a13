/** Entries of an application store, gzipped lines of JSON: summaries in several languages, a category. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'

/** [{ id, category, names: summaries by language, description: English }] */
export function readApps(file) {
  return gunzipSync(readFileSync(file))
    .toString('utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const { id, summary, description, category } = JSON.parse(line)
      return {
        id: `app ${id}`,
        category: `app ${category?.[0] ?? ''}`,
        names: summary,
        description: description?.en ?? '',
      }
    })
    .filter(({ names }) => names?.en)
}
