import { nearest } from '../core/show.js'

/** `; did you mean X?`, or an empty string if no known name is near. */
export function didYouMean(name: string, known: readonly string[], prefix = ''): string {
  const near = nearest(name, known)
  return near === null ? '' : `; did you mean ${prefix}${near}?`
}
