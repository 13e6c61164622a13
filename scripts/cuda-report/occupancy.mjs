/** How many blocks of a kernel a multiprocessor holds at a time. */

/** Limits of a multiprocessor; registers are 65536 everywhere and are given to a warp in units of 256. */
const LIMITS = {
  75: { warps: 32, blocks: 16, sharedBytes: 64 * 1024, reservedBytes: 0, unit: 256 },
  80: { warps: 64, blocks: 32, sharedBytes: 164 * 1024, reservedBytes: 1024, unit: 128 },
  86: { warps: 48, blocks: 16, sharedBytes: 100 * 1024, reservedBytes: 1024, unit: 128 },
  89: { warps: 48, blocks: 24, sharedBytes: 100 * 1024, reservedBytes: 1024, unit: 128 },
  90: { warps: 64, blocks: 32, sharedBytes: 228 * 1024, reservedBytes: 1024, unit: 128 },
  100: { warps: 64, blocks: 32, sharedBytes: 228 * 1024, reservedBytes: 1024, unit: 128 },
}
const REGISTERS = 65536

const roundUp = (value, unit) => Math.ceil(value / unit) * unit

/**
 * Blocks per multiprocessor and what limits them; null for an architecture that is not known here.
 * `sharedBytes` is all that a block asks for, static and dynamic.
 */
export function occupancy(arch, { threads, registers, sharedBytes }) {
  const limits = LIMITS[/^\d+/.exec(arch)[0]]
  if (!limits || !threads) return null
  const warps = Math.ceil(threads / 32)
  const warpsByRegisters = Math.floor(REGISTERS / roundUp(registers * 32, 256) / 4) * 4
  const shared = roundUp(sharedBytes + limits.reservedBytes, limits.unit)
  const bounds = {
    blocks: limits.blocks,
    warps: Math.floor(limits.warps / warps),
    registers: Math.floor(warpsByRegisters / warps),
    shared: shared > 0 ? Math.floor(limits.sharedBytes / shared) : Infinity,
  }
  const blocks = Math.min(...Object.values(bounds))
  const limit = Object.keys(bounds).find((key) => bounds[key] === blocks)
  return { blocks, warps: blocks * warps, ofWarps: limits.warps, limit }
}
