/**
 * The package's files beside its code: the native addon and the model that comes with it. Both are named by CommonJS
 * files with static paths, which file tracers (Next.js, Vercel, Nitro) and bundlers can follow; a path computed in an
 * ES module they cannot. The imports below stay as they are in dist/, which lies as deep as src/.
 */
import { open } from '../native/binding/open.cjs'
import { directory } from '../models/default.cjs'

/** Loads the addon; throws whatever the loader throws. */
export const openAddon: () => unknown = open

/** Directory of the model that comes with the package. */
export const DEFAULT_MODEL: string = directory
