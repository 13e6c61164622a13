/** `loadStatic`: opens a file of static vectors. */
import { statSync } from 'node:fs'
import { EmbedCoreError } from '../core/errors.js'
import { native } from '../core/native.js'
import { INVALID_UTF8, STATIC_FORMATS } from '../core/names.js'
import { abortSignal, checkOptions, integer, invalidOption, oneOf } from '../core/options.js'
import { nativeCall } from './native-call.js'
import type { LoadStaticOptions } from './types.js'
import { StaticVectors } from './vectors.js'

/**
 * Opens a file of static vectors: word2vec text or binary, GloVe, fastText's `.vec` or `.bin`. Binary formats are
 * mapped, so the vectors of a large file take memory only where they are read.
 *
 * Files whose counts are wrong, that are cut off, or that have values that are not finite are refused. Words that come
 * again and words that are not UTF-8 are counted in `info`.
 * @throws ERR_EMBEDCORE_NOT_FOUND; _INVALID_FILE, _NON_FINITE with the word or the entry; _UNSUPPORTED_MODEL for a
 *   classifier or a quantised file of fastText; _INVALID_OPTION, _UNKNOWN_OPTION; _OUT_OF_MEMORY; _ABORTED.
 * @example
 * const vectors = await loadStatic('cc.en.300.bin')
 * await vectors.nearest('king')
 */
export async function loadStatic(path: string, options?: LoadStaticOptions): Promise<StaticVectors> {
  if (typeof path !== 'string' || path === '') throw invalidOption('the vectors', 'the path of a file', path)
  const given = checkOptions(options, {
    format: oneOf('auto', ...STATIC_FORMATS),
    invalidUtf8: oneOf(...INVALID_UTF8),
    limit: integer(1),
    signal: abortSignal,
  })
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_FILE',
      `Expected a file of static vectors but ${path} is a directory; ` +
        'load() reads directories of StaticEmbedding and model2vec',
    )
  const raw = await nativeCall<Parameters<typeof StaticVectors.of>[0]>(
    (done) =>
      native().readVectors(
        {
          path,
          format: given.format ?? 'auto',
          invalidUtf8: given.invalidUtf8 ?? 'error',
          limit: given.limit ?? 0,
        },
        done,
      ),
    given.signal,
  )
  return StaticVectors.of(raw)
}
