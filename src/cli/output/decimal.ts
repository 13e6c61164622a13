/**
 * float32 as decimal text: the fewest digits that read back as the same float32 (so 0.1, not 0.10000000149011612).
 * Digits are found with whole numbers and written as bytes, because printing would otherwise take longer than encoding
 * with a small model.
 */

/** The most bytes that one number takes, including its sign; the buffer must have this much room. */
export const LONGEST_NUMBER = 24

const POWERS = Float64Array.from({ length: 23 }, (_, i) => Number(`1e${i}`))
/** Outside of these bounds, which is rare in embeddings, the slow search below is used. */
const SMALLEST = 1e-6
const LARGEST = 1e6
const MOST_DIGITS = 9

/** Decimal places of `digits` significant digits for a value in [10^(e-1), 10^e). */
function placesFor(value: number, digits: number): number {
  let places = digits
  if (value >= 1) for (let bound = 1; value >= bound; bound *= 10) places--
  else for (let power = 1; power <= 6 && value * POWERS[power]! < 1; power++) places++
  return places
}

/** Writes the finite `value`, a float32, at `at` and returns the position after it. */
export function writeFloat32(value: number, bytes: Uint8Array, at: number): number {
  if (value < 0 || Object.is(value, -0)) {
    bytes[at++] = 45
    value = -value
  }
  if (value === 0) {
    bytes[at++] = 48
    return at
  }
  if (value < SMALLEST || value >= LARGEST) return writeAscii(shortestBySearch(value), bytes, at)
  // Seven digits are tried first: if they suffice, fewer may; if not, eight or nine do. Both divisions are correctly
  // rounded, so the double tested here is the one that any reader of the printed decimal gets.
  let places = placesFor(value, 7)
  let digits = Math.round(value * POWERS[places]!)
  if (Math.fround(digits / POWERS[places]!) === value) {
    while (places > 0) {
      const fewer = Math.round(value * POWERS[places - 1]!)
      if (Math.fround(fewer / POWERS[places - 1]!) !== value) break
      digits = fewer
      places--
    }
  } else {
    const most = placesFor(value, MOST_DIGITS)
    do {
      places++
      digits = Math.round(value * POWERS[places]!)
    } while (places < most && Math.fround(digits / POWERS[places]!) !== value)
  }
  return writeDecimal(digits, places, bytes, at)
}

/** digits / 10^places, no exponent; digits < 2^31 keeps to whole-number arithmetic. */
function writeDecimal(digits: number, places: number, bytes: Uint8Array, at: number): number {
  let length = 1
  while (length < 10 && digits >= POWERS[length]!) length++
  const total = Math.max(length, places + 1)
  const end = at + total + (places > 0 ? 1 : 0)
  let place = end - 1
  for (let i = 0; i < total; i++) {
    if (i === places && places > 0) bytes[place--] = 46
    const rest = (digits / 10) | 0
    bytes[place--] = 48 + (digits - rest * 10)
    digits = rest
  }
  return end
}

function shortestBySearch(value: number): string {
  for (let digits = 1; digits < MOST_DIGITS; digits++) {
    const text = value.toPrecision(digits)
    if (Math.fround(Number(text)) === value) return String(Number(text))
  }
  return String(Number(value.toPrecision(MOST_DIGITS)))
}

export function writeAscii(text: string, bytes: Uint8Array, at: number): number {
  for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i)
  return at + text.length
}

/** The same for one number, as a string. */
export function float32ToString(value: number): string {
  const bytes = new Uint8Array(LONGEST_NUMBER)
  return String.fromCharCode(...bytes.subarray(0, writeFloat32(value, bytes, 0)))
}
