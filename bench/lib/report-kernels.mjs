/** Prints a result of kernels.mjs as tables. */
import { median } from './stats.mjs'
import { describeBuild, number, percent, table } from './table.mjs'

const unit = (dtype) => (dtype === 'int8' ? 'GOP/s' : 'GFLOP/s')
const unique = (values) => [...new Set(values)]
const threadsText = (count) => `${count} thread${count === 1 ? '' : 's'}`

function header(r) {
  const out = [`kernels of ${r.backend}, ${describeBuild(r)}`, `${r.machine.cpu} (${r.machine.device})`]
  const clocks = r.references
    .filter((one) => one.kernel === 'clock' && one.clean > 0)
    .map((one) => one.cycles / one.seconds / 1e9)
  if (clocks.length > 0) out[1] += `, ${median(clocks).toFixed(2)} GHz`
  for (const [threads, limits] of Object.entries(r.limits)) {
    const rates = ['float32', 'bfloat16', 'int8']
      .filter((p) => limits[p])
      .map((p) => `${number(limits[p].median)} ${unit(p)} ${p} (${number(limits[p].best)})`)
    if (limits.read) rates.push(`read ${number(limits.read.median)} GB/s (${number(limits.read.best)})`)
    if (rates.length > 0)
      out.push(`limits in turn, ${threadsText(Number(threads))}, median (best seen): ${rates.join(', ')}`)
  }
  if (r.machine.loadAverageBefore > 0.3)
    out.push(`note: the machine was busy before the start (load ${r.machine.loadAverageBefore.toFixed(2)})`)
  const { all, clean, repeated } = r.samples
  out.push(
    `medians of ${r.settings.repeats} samples, all cases of a shape and their limits in turn; ` +
      `${number(repeated)} samples in which a thread lost its core were repeated`,
  )
  if (clean < all)
    out.push(
      `note: ${number(all - clean)} of ${number(all)} samples stayed disturbed and were left out; ` +
        '"?" marks figures of less than half of the samples, "-" stands where there are none',
    )
  return out.join('\n')
}

const doubt = (one, r) => (2 * one.clean < r.settings.repeats ? '?' : '')
const cell = (one, r) =>
  one?.clean > 0
    ? `${number(one.gops)} ${one.cold ? 'r' : ''}${percent(one.shareOfRead ?? one.shareOfPeak)}${doubt(one, r)}`
    : '-'

function linearTable(r, dtype, threads) {
  const of = r.cases.filter((c) => c.kernel === 'linear' && c.dtype === dtype && c.threads === threads)
  if (of.length === 0) return null
  const counts = unique(of.map((c) => c.rows))
  const rows = unique(of.map((c) => `${c.model} ${c.layer} ${c.in}x${c.out}`)).map((name) => {
    const mine = of.filter((c) => `${c.model} ${c.layer} ${c.in}x${c.out}` === name)
    return [
      name,
      ...counts.map((count) =>
        cell(
          mine.find((c) => c.rows === count),
          r,
        ),
      ),
    ]
  })
  const large = of.filter((c) => c.rows >= 128 && c.shareOfPeak !== undefined).map((c) => c.shareOfPeak)
  const small = of.filter((c) => c.cold && c.shareOfRead !== undefined).map((c) => c.shareOfRead)
  const summary = [
    large.length && `M >= 128: median ${percent(median(large))} of the peak, least ${percent(Math.min(...large))}`,
    small.length &&
      `M <= 8: median ${percent(median(small))} of the read bandwidth, least ${percent(Math.min(...small))}`,
  ].filter(Boolean)
  const shares = 'share of the peak, r: of the read bandwidth'
  const title = `linear, ${dtype}, ${threadsText(threads)}: ${unit(dtype)} and ${shares}`
  return `${title}\n${table(['in x out', ...counts.map((m) => `M ${m}`)], rows)}\n  ${summary.join('; ')}`
}

function attentionTable(r, dtype) {
  const of = r.cases.filter((c) => c.kernel === 'attention' && c.dtype === dtype)
  if (of.length === 0) return null
  const threads = unique(of.map((c) => c.threads))
  const rows = of
    .filter((c) => c.threads === threads[0])
    .map((c) => {
      const same = threads.map((count) =>
        of.find((o) => o.threads === count && o.model === c.model && o.length === c.length),
      )
      return [
        `${c.model} ${c.heads}x${c.headDim}`,
        `${c.texts} x ${number(c.length)}`,
        ...same.flatMap((o) => [cell(o, r), o.clean > 0 ? number(o.seconds * 1e6) : '-']),
      ]
    })
  const head = ['heads', 'texts x tokens', ...threads.flatMap((count) => [threadsText(count), 'us'])]
  return `attention, ${dtype}: GFLOP/s and share of the peak, microseconds a call\n${table(head, rows)}`
}

function elementwiseTable(r) {
  const of = r.cases.filter((c) => ['norm', 'gate', 'activation'].includes(c.kernel))
  if (of.length === 0) return null
  const rows = of
    .filter((c) => c.kind !== 'none')
    .map((c) => {
      const without = of.find((o) => o.kernel === c.kernel && o.dtype === c.dtype && o.kind === 'none')
      const own = c.cyclesPerElement - (without ? without.cyclesPerElement : 0)
      const us = (c.seconds - (without ? without.seconds : 0)) * 1e6
      // Not a number: a case without a clean sample.
      return [
        `${c.kernel} ${c.kind}`,
        c.dtype,
        number(c.width),
        own >= -Infinity ? `${own.toFixed(2)}${doubt(c, r)}` : '-',
        us >= -Infinity ? number(us, 1) : '-',
      ]
    })
  const title = 'by element, 256 rows, 1 thread; activations: what they add to a linear layer'
  return `${title}\n${table(['op', 'dtype', 'width', 'cycles', 'us'], rows)}`
}

function similarityTable(r) {
  const of = r.cases.filter((c) => c.kernel === 'similarity')
  if (of.length === 0) return null
  const threads = unique(of.map((c) => c.threads))
  const rows = of
    .filter((c) => c.threads === threads[0])
    .map((c) => {
      const same = threads.map((count) =>
        of.find((o) => o.threads === count && o.kind === c.kind && o.rowsA === c.rowsA && o.rowsB === c.rowsB),
      )
      return [
        `${number(c.rowsA)} x ${number(c.rowsB)} x ${c.width}`,
        c.kind,
        ...same.flatMap((o) => [cell(o, r), o.clean > 0 ? number(o.seconds * 1e3, 2) : '-']),
      ]
    })
  const head = ['rows x rows x width', 'kind', ...threads.flatMap((count) => [threadsText(count), 'ms'])]
  return `similarity, float32: GFLOP/s and share of the peak, ms a call\n${table(head, rows)}`
}

function lossTable(r) {
  const of = r.cases.filter((c) => ['contrastive', 'triplet', 'pair_scores', 'pair_gradient'].includes(c.kernel))
  if (of.length === 0) return null
  const rows = of.map((c) => [
    `${c.kernel} ${c.kind}`,
    number(c.rows),
    threadsText(c.threads),
    c.elements && c.clean > 0 ? `${number(c.cyclesPerElement, 2)} cycles an element` : cell(c, r),
    c.clean > 0 ? number(c.seconds * 1e3, 2) : '-',
  ])
  return `losses with gradients, float32: GFLOP/s and share of the peak, ms a call\n${table(['loss', 'rows', '', '', 'ms'], rows)}`
}

export function reportKernels(r) {
  const dtypes = unique(r.cases.map((c) => c.dtype))
  const threads = unique(r.cases.filter((c) => c.kernel === 'linear').map((c) => c.threads)).sort((a, b) => b - a)
  const parts = [
    header(r),
    ...dtypes.flatMap((dtype) => threads.map((count) => linearTable(r, dtype, count))),
    ...dtypes.map((dtype) => attentionTable(r, dtype)),
    elementwiseTable(r),
    similarityTable(r),
    lossTable(r),
  ]
  return parts.filter(Boolean).join('\n\n') + '\n'
}
