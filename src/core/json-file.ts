/**
 * JSON files of a model directory, read with bounds and typed access. A file that cannot be read or parsed gives
 * ERR_EMBEDCORE_INVALID_FILE, a wrong value gives ERR_EMBEDCORE_INVALID_CONFIG. The message names file and value.
 */
import { open } from 'node:fs/promises'
import { EmbedCoreError } from './errors.js'
import { reason, show } from './show.js'

/** Configuration files have some kilobytes; anything larger than this is another kind of file. */
const LONGEST_CONFIG = 16 * 1024 * 1024
/** Sizes and counts are passed to the native side as int32. */
export const LARGEST_INTEGER = 2 ** 31 - 1

export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue }

/** The text of a file without its byte order mark, or null when there is no such file. */
export async function readText(file: string, longest = LONGEST_CONFIG): Promise<string | null> {
  let handle
  try {
    handle = await open(file, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_FILE', `Cannot open ${file}: ${reason(error)}`, { cause: error })
  }
  try {
    const info = await handle.stat()
    if (!info.isFile())
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_FILE',
        `Expected a file at ${file} but found ${info.isDirectory() ? 'a directory' : 'something else'}`,
      )
    if (info.size > longest)
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_FILE',
        `Expected at most ${longest} bytes for ${file} but found ${info.size}`,
      )
    const text = await handle.readFile('utf8')
    return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
  } catch (error) {
    if (error instanceof EmbedCoreError) throw error
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_FILE', `Cannot read ${file}: ${reason(error)}`, { cause: error })
  } finally {
    await handle.close()
  }
}

export function parseJson(text: string, file: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue
  } catch (error) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_FILE',
      `Expected valid JSON in ${file} but found something else: ${reason(error)}`,
      {
        cause: error,
      },
    )
  }
}

/** The object in a JSON file, or null when there is no such file. */
export async function readFields(file: string): Promise<Fields | null> {
  const text = await readText(file)
  return text === null ? null : Fields.of(parseJson(text, file), file)
}

/**
 * The fields of one JSON object. A key that is absent or null gives the default; a value of the wrong type is refused.
 */
export class Fields {
  private constructor(
    readonly file: string,
    private readonly object: { [key: string]: JsonValue },
    private readonly path: string,
  ) {}

  static of(value: JsonValue, file: string, path = ''): Fields {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_FILE',
        `Expected a JSON object in ${file}${path === '' ? '' : ` for ${path}`} but found ${show(value)}`,
      )
    }
    return new Fields(file, value, path)
  }

  get keys(): string[] {
    return Object.keys(this.object)
  }

  /** All fields, as they are. */
  get all(): Readonly<Record<string, JsonValue>> {
    return this.object
  }

  /** The raw value; undefined when absent. Own keys only: `__proto__` in a file is a key like any other. */
  raw(key: string): JsonValue | undefined {
    return Object.hasOwn(this.object, key) ? this.object[key] : undefined
  }

  has(key: string): boolean {
    const value = this.raw(key)
    return value !== undefined && value !== null
  }

  text<T extends string | null>(key: string, absent: T): string | T {
    return this.get(key, absent, 'a string', (value) => typeof value === 'string')
  }

  flag<T extends boolean | null>(key: string, absent: T): boolean | T {
    return this.get(key, absent, 'true or false', (value) => typeof value === 'boolean')
  }

  integer<T extends number | null>(key: string, absent: T, minimum = 1, maximum = LARGEST_INTEGER): number | T {
    return this.get(
      key,
      absent,
      `an integer from ${minimum} to ${maximum}`,
      (value) => Number.isInteger(value) && (value as number) >= minimum && (value as number) <= maximum,
    )
  }

  number<T extends number | null>(key: string, absent: T): number | T {
    return this.get(key, absent, 'a number', (value) => typeof value === 'number')
  }

  fields(key: string): Fields | null {
    const value = this.raw(key)
    return value === undefined || value === null
      ? null
      : Fields.of(value, this.file, this.path === '' ? `"${key}"` : `${this.path}."${key}"`)
  }

  requiredInteger(key: string, minimum = 1): number {
    return this.integer(key, null, minimum) ?? this.refuse(key, `an integer from ${minimum} to ${LARGEST_INTEGER}`)
  }

  /** Throws the ERR_EMBEDCORE_INVALID_CONFIG that names file, key and value. */
  refuse(key: string, expected: string): never {
    const place = this.path === '' ? `"${key}"` : `${this.path}."${key}"`
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_CONFIG',
      `Expected ${expected} for ${place} in ${this.file} but found ${show(this.raw(key))}`,
    )
  }

  private get<T, A>(key: string, absent: A, expected: string, accepts: (value: JsonValue) => boolean): T | A {
    const value = this.raw(key)
    if (value === undefined || value === null) return absent
    if (!accepts(value)) this.refuse(key, expected)
    return value as T
  }
}
