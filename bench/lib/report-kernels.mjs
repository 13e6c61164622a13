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

const TRAINING = {
  linear_forward: 'forward',
  linear_dropout: 'with dropout',
  linear_lora: 'with LoRA',
  linear_input_gradient: 'dX',
  linear_lora_input_gradient: 'dX with LoRA',
  linear_weight_gradient: 'dW',
}

/** Shares of the peak, and what repacking and dropout cost as a share of the forward pass. */
function trainingTable(r, dtype, threads) {
  const of = r.cases.filter((c) => c.dtype === dtype && c.threads === threads)
  const forward = of.filter((c) => c.kernel === 'linear_forward')
  if (forward.length === 0) return null
  const rows = forward.map((base) => {
    const one = (kernel) =>
      of.find((c) => c.kernel === kernel && c.layer === base.layer && c.model === base.model && c.rows === base.rows)
    const part = (kernel) =>
      one(kernel)?.clean > 0 && base.clean > 0 ? percent(one(kernel).seconds / base.seconds) : '-'
    return [
      `${base.model} ${base.layer} ${base.in}x${base.out}`,
      number(base.rows),
      ...Object.keys(TRAINING).map((kernel) => (one(kernel)?.clean > 0 ? percent(one(kernel).shareOfPeak) : '-')),
      part('repack_linear'),
      part('dropout'),
    ]
  })
  const head = ['in x out', 'M', ...Object.values(TRAINING), 'repacking : forward', 'dropout op : forward']
  return `training of linear layers, ${dtype}, ${threadsText(threads)}: share of the peak\n${table(head, rows)}`
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

/** The backward pass, and what dropout adds, beside the forward pass of the same case. */
function attentionTrainingTable(r, dtype) {
  const of = r.cases.filter((c) => c.kernel.startsWith('attention') && c.dtype === dtype && c.clean > 0)
  const rows = of
    .filter((c) => c.kernel === 'attention_gradient')
    .map((c) => {
      const same = (kernel) =>
        of.find((o) => o.kernel === kernel && ['model', 'length', 'threads'].every((key) => o[key] === c[key]))
      const ratio = (one, other) => (one && other ? (one.seconds / other.seconds).toFixed(2) : '-')
      const [forward, dropped] = [same('attention'), same('attention_dropout')]
      return [
        `${c.model} ${c.heads}x${c.headDim}`,
        `${c.texts} x ${number(c.length)}`,
        threadsText(c.threads),
        cell(c, r),
        number(c.seconds * 1e6),
        ratio(c, forward),
        ratio(dropped, forward),
        ratio(same('attention_gradient_dropout'), dropped),
      ]
    })
  if (rows.length === 0) return null
  const head = ['heads', 'texts x tokens', 'threads', 'backward', 'us', 'x forward', 'dropout', 'x forward']
  return (
    `attention's backward pass, ${dtype}: GFLOP/s and share of the float32 peak, microseconds a call, times the ` +
    `forward pass; with dropout 0.1 the forward pass and, times it, the backward pass\n${table(head, rows)}`
  )
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

function gradientTable(r) {
  const of = r.cases.filter((c) => / (forward|gradient)$/.test(c.kernel))
  if (of.length === 0) return null
  const rows = of.map((c) => [
    `${c.kernel}, ${c.kind}`,
    c.dtype,
    c.clean > 0 ? `${c.cyclesPerElement.toFixed(2)}${doubt(c, r)}` : '-',
    c.clean > 0 ? `${((c.seconds / c.elements) * 1e9).toFixed(3)}` : '-',
  ])
  const title = 'gradients of rows beside their forward pass, by element, 1 thread'
  return `${title}\n${table(['op', 'dtype', 'cycles', 'ns'], rows)}`
}

function parameterTable(r) {
  const of = r.cases.filter((c) => c.kernel === 'parameters')
  if (of.length === 0) return null
  const rows = of.map((c) => [
    c.kind,
    threadsText(c.threads),
    c.clean > 0 ? number(c.seconds * 1e3, 2) : '-',
    c.clean > 0 ? `${number(c.bytes / c.seconds / 1e9, 1)}${doubt(c, r)}` : '-',
    c.shareOfRead === undefined ? '-' : percent(c.shareOfRead),
  ])
  const title = `passes over ${number(of[0].parameters)} parameters, float32: bytes read and written`
  return `${title}\n${table(['op', 'threads', 'ms', 'GB/s', 'of read'], rows)}`
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
  const head = ['loss', 'rows', '', '', 'ms']
  return `losses with gradients, float32: GFLOP/s and share of the peak, ms a call\n${table(head, rows)}`
}

export function reportKernels(r) {
  const dtypes = unique(r.cases.map((c) => c.dtype))
  const threads = unique(r.cases.filter((c) => c.kernel.startsWith('linear')).map((c) => c.threads)).sort(
    (a, b) => b - a,
  )
  const parts = [
    header(r),
    ...dtypes.flatMap((dtype) => threads.map((count) => linearTable(r, dtype, count))),
    ...dtypes.flatMap((dtype) => threads.map((count) => trainingTable(r, dtype, count))),
    ...dtypes.map((dtype) => attentionTable(r, dtype)),
    ...dtypes.map((dtype) => attentionTrainingTable(r, dtype)),
    elementwiseTable(r),
    similarityTable(r),
    gradientTable(r),
    parameterTable(r),
    lossTable(r),
  ]
  return parts.filter(Boolean).join('\n\n') + '\n'
}
