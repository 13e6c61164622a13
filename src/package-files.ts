/**
 * The files of the package that are not code: the native addon and the built-in model. Both are named by CommonJS files
 * with static paths, because file tracers (Next.js, Vercel, Nitro) and bundlers can follow those, but not a path
 * computed in an ES module. The imports below are also right in dist/, which is as deep as src/.
 */
import { open } from '../native/binding/open.cjs'
import { directory } from '../models/default.cjs'

/** Loads the addon; throws what the loader throws. */
export const openAddon: () => unknown = open

/** Directory of the built-in model. */
export const DEFAULT_MODEL: string = directory
