/** The matrices of a transformer's layers, to which low-rank updates can be added. */
import type { RawParameter } from '../core/training-binding.js'

const LAYER = /(?:^|\.)(\d+)\./

/** The number of the layer that a parameter belongs to; null = none. */
export function layerOf(name: string): number | null {
  const found = LAYER.exec(name)
  return found === null ? null : Number(found[1])
}

/** Their shapes by the names of their modules, in the order of the forward pass. */
export function layerMatrices(parameters: readonly RawParameter[]): Map<string, readonly number[]> {
  return new Map(
    parameters
      .filter(({ name, shape }) => shape.length === 2 && name.endsWith('.weight') && layerOf(name) !== null)
      .map(({ name, shape }) => [name.slice(0, -'.weight'.length), shape]),
  )
}
