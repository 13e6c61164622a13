/**
 * Token offsets as the tokenizer gives them (code points of prompt + text) turned into UTF-16 units of the user's own
 * text.
 * JavaScript strings are indexed by UTF-16 units, so `text.slice(start, end)` is the token's text.
 */

const SURROGATE = /[\ud800-\udfff]/

/**
 * Maps code point positions of a text to UTF-16 positions; null when they are the same, as in any text without
 * supplementary characters.
 */
export function codePointMap(text: string): Int32Array | null {
  if (!SURROGATE.test(text)) return null
  const map = new Int32Array(text.length + 1)
  let codePoints = 0
  for (let unit = 0; unit < text.length; codePoints++) {
    map[codePoints] = unit
    unit += text.codePointAt(unit)! > 0xffff ? 2 : 1
  }
  map[codePoints] = text.length
  return map.subarray(0, codePoints + 1)
}

/**
 * Writes [start, end) of tokens `from` to `to` of `given` into `out` at `place` (in tokens).
 * Tokens of the prompt get [0, 0); one that straddles prompt and text keeps the part in the text.
 */
export function writeOffsets(
  given: readonly (readonly number[])[],
  from: number,
  to: number,
  map: Int32Array | null,
  promptLength: number,
  out: Int32Array,
  place: number,
): void {
  let at = 2 * place
  for (let token = from; token < to; token++) {
    const pair = given[token]!
    const start = map === null ? pair[0]! : map[pair[0]!]!
    const end = map === null ? pair[1]! : map[pair[1]!]!
    const own = end > promptLength
    out[at++] = own ? Math.max(0, start - promptLength) : 0
    out[at++] = own ? end - promptLength : 0
  }
}
