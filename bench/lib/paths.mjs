/** The folders of the bench. All generated files are under .cache/, which git ignores. */
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export const BENCH = resolve(dirname(fileURLToPath(import.meta.url)), '..')
export const ROOT = resolve(BENCH, '..')
/** Optional folder next to the checkout, with real models and texts. */
export const SHARED = resolve(ROOT, '..', 'shared')
export const CACHE = join(BENCH, '.cache')
export const RESULTS = join(BENCH, 'results')
export const BASELINES = join(BENCH, 'baselines')
/** The package under test, as built by `npm run build`. */
export const PACKAGE_ENTRY = join(ROOT, 'dist', 'index.js')
