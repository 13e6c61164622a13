/** The targets of training and whether a result meets them. README.md says where they come from. */
import { CASES } from './cases.mjs'
import { median } from '../lib/stats.mjs'

const SHARE = { float32: 0.78, bfloat16: 0.7 }
const LORA_OVER_FULL = { float32: 0.75, bfloat16: 0.82 }
const RECOMPUTED_OVER_KEPT = 1.3
const MEMORY = { uniform: 0.55, mixed: 0.15 }
const LOOP_P99_MS = 20
const MIXED_OVER_THEIRS = 0.15
const BFLOAT16_OVER_THEIRS = 0.6

/** Of float32: PyTorch's share of the peak, and so the target, depends on the processor. Null = no target. */
export function float32OverTheirs({ family, modelNumber }) {
  const model = Number(modelNumber)
  if (family === '26') return 0.4 // Zen 5
  const zen4 = (model >= 0x10 && model <= 0x1f) || (model >= 0x60 && model <= 0x7f) || (model >= 0xa0 && model <= 0xaf)
  return family === '25' && zen4 ? 0.65 : null
}

function overTheirs(machine, name, dtype) {
  if (name === 'mixed') return MIXED_OVER_THEIRS
  return dtype === 'bfloat16' ? BFLOAT16_OVER_THEIRS : float32OverTheirs(machine)
}

const atMost = (target) => (target === null ? null : { most: target })
const atLeast = (target) => ({ least: target })

function held(value, target) {
  if (target === null) return null
  return target.most === undefined ? value >= target.least : value <= target.most
}

/** [{ case, dtype, figure, of, unit, value, target, held }]: target null = for information. */
export function judge(result) {
  const out = []
  const add = (name, peer, figure, unit, value, target) => {
    if (value === null || value === undefined) return
    out.push({ case: name, dtype: peer.precision, figure, of: peer.id, unit, value, target, held: held(value, target) })
  }
  const peerOf = (id) => result.peers.find((peer) => peer.id === id)
  for (const name of Object.keys(CASES))
    for (const peer of result.peers.filter((one) => one.ours && one.cases[name])) {
      const { precision: dtype, method, recompute } = peer
      const figures = peer.cases[name]
      const full = method === 'full' && !recompute
      if (full)
        // Gradient caching computes the forward pass twice, which the operations do not count.
        add(
          name,
          peer,
          'forward and backward, of peak',
          'share',
          figures.shareOfPeak?.median,
          CASES[name].gradientCache ? null : atLeast(SHARE[dtype]),
        )
      for (const [other, metrics] of Object.entries(result.ratios[peer.id] ?? {})) {
        const { ours, dropout } = peerOf(other)
        const ratio = metrics[name] && median(metrics[name].rounds.map((times) => 1 / times))
        const memory = metrics[`memory/${name}`] && 1 / metrics[`memory/${name}`].median
        if (!ours) {
          add(
            name,
            peer,
            `step over ${other}`,
            'ratio',
            ratio,
            atMost(dropout ? overTheirs(result.machine, name, dtype) : null),
          )
          add(name, peer, `memory over ${other}`, 'ratio', memory, atMost(MEMORY[name] ?? null))
        } else if (recompute) {
          add(name, peer, `step over ${other}`, 'ratio', ratio, atMost(method === 'full' ? RECOMPUTED_OVER_KEPT : null))
          add(name, peer, `memory over ${other}`, 'ratio', memory, null)
        } else add(name, peer, `step over ${other}`, 'ratio', ratio, atMost(LORA_OVER_FULL[dtype]))
      }
      add(name, peer, 'event loop, p99', 'ms', figures.eventLoopDelayP99Ms, atMost(LOOP_P99_MS))
    }
  return out
}
