/** The only place that loads the addon. The error of a failed load says what to do. */

import { arch, platform, version } from 'node:process'
import type { RawAddon } from './binding.js'
import { openAddon } from '../package-files.js'
import { EmbedCoreError } from './errors.js'

let addon: RawAddon | undefined
let failure: EmbedCoreError | undefined

function advice(cause: unknown): EmbedCoreError {
  const reason = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause)
  return new EmbedCoreError(
    'ERR_EMBEDCORE_NATIVE_LOAD',
    [
      `embedcore could not load its native addon on ${platform}-${arch}, Node ${version}: ${reason}`,
      'Possible solutions:',
      '- build it: apt-get install -y g++ cmake ninja-build && npm rebuild embedcore',
      '- if node_modules was copied from another kind of machine, delete it and install here',
      '- if install scripts were switched off (--ignore-scripts), run: node node_modules/embedcore/scripts/install.cjs',
      '`npx embedcore doctor` says more.',
    ].join('\n'),
    { cause },
  )
}

/** The addon, loaded on first use. Throws ERR_EMBEDCORE_NATIVE_LOAD at each call if it cannot be loaded. */
export function native(): RawAddon {
  if (failure) throw failure
  if (addon) return addon
  try {
    addon = openAddon() as RawAddon
    return addon
  } catch (error) {
    failure = advice(error)
    throw failure
  }
}
