/**
 * The `layers` option: which hidden states, numbered as transformers numbers them (0 = embeddings, 1 = first layer, -1
 * = last).
 */
import { EmbedCoreError } from '../core/errors.js'
import { show } from '../core/show.js'
import type { LayerSelection } from './types.js'

const RANGE = /^(-?\d{1,9})-(-?\d{1,9})$/
const NUMBER = /^-?\d{1,9}$/
const LAST = /^last:(\d{1,9})$/

/**
 * The chosen states as numbers from 0 to `layerCount`, in the order given. A text may join several selections by
 * commas.
 */
export function parseLayers(selection: LayerSelection, layerCount: number): number[] {
  if (typeof selection === 'number') return [layer(selection, layerCount)]
  if (typeof selection === 'string') return selection.split(',').flatMap((part) => parsePart(part.trim(), layerCount))
  if (!Array.isArray(selection) || selection.length === 0) throw malformed(selection)
  return Array.from(selection as readonly unknown[], (one) => layer(one, layerCount))
}

function parsePart(part: string, layerCount: number): number[] {
  if (part === 'first-last') return [layer(1, layerCount), layerCount]
  const last = LAST.exec(part)
  if (last !== null) {
    const count = Number(last[1])
    if (count < 1 || count > layerCount)
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_OPTION',
        `Expected 'last:1' to 'last:${layerCount}' for layers (the model has ${layerCount}) but received ${show(part)}`,
      )
    return range(layerCount - count + 1, layerCount)
  }
  if (NUMBER.test(part)) return [layer(Number(part), layerCount)]
  const ends = RANGE.exec(part)
  if (ends === null) throw malformed(part)
  const [from, to] = [layer(Number(ends[1]), layerCount), layer(Number(ends[2]), layerCount)]
  if (from > to)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected a range from lower to higher for layers but received ${show(part)}, which is ${from} to ${to}`,
    )
  return range(from, to)
}

function layer(value: unknown, layerCount: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value)) throw malformed(value)
  if (value < -layerCount - 1 || value > layerCount) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected 0 to ${layerCount} (or -1 to ${-layerCount - 1}, from the end) for layers but received ${show(value)}`,
    )
  }
  return value < 0 ? value + layerCount + 1 : value
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}

function malformed(value: unknown): EmbedCoreError {
  return new EmbedCoreError(
    'ERR_EMBEDCORE_INVALID_OPTION',
    "Expected a layer number, a list of them, 'first-last', 'last:n' or a range such as '4-8' for layers " +
      `but received ${show(value)}`,
  )
}
