/**
 * A bare onnxruntime-node session on the fused graph, with texts sorted by length before they are cut into batches, as
 * a careful user would do. Tokenising and sorting are done before and not timed; padding, the run, pooling and
 * normalising are timed.
 */
import { basename, dirname, join } from 'node:path'
import { createRequire } from 'node:module'
import { serve } from './protocol.mjs'

function meanPool(hidden, lengths, width, columns) {
  const out = new Float32Array(lengths.length * columns)
  lengths.forEach((length, row) => {
    const sum = out.subarray(row * columns, (row + 1) * columns)
    for (let t = 0; t < length; t++) {
      const at = (row * width + t) * columns
      for (let c = 0; c < columns; c++) sum[c] += hidden[at + c]
    }
    let square = 0
    for (let c = 0; c < columns; c++) square += sum[c] * sum[c]
    const scale = 1 / Math.sqrt(square)
    for (let c = 0; c < columns; c++) sum[c] *= scale
  })
  return out
}

serve(async ({ model, threads, file }) => {
  const ort = createRequire(import.meta.url)('onnxruntime-node')
  const { AutoTokenizer, env } = await import('@huggingface/transformers')
  env.allowRemoteModels = false
  env.localModelPath = dirname(model.layout)
  const tokenizer = await AutoTokenizer.from_pretrained(basename(model.layout))
  const path = join(model.layout, 'onnx', file)
  const session = await ort.InferenceSession.create(path, {
    executionProviders: ['cpu'],
    graphOptimizationLevel: 'all',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
  })
  return {
    version: ort.env.versions.node,
    items(texts, size) {
      const ids = texts.map((text) => tokenizer.encode(text))
      const byLength = texts.map((_, i) => i).sort((a, b) => ids[a].length - ids[b].length)
      const items = []
      for (let at = 0; at < byLength.length; at += size) {
        const order = byLength.slice(at, at + size)
        items.push({ input: order.map((i) => ids[i]), order })
      }
      return items
    },
    async run(batch) {
      const lengths = batch.map((ids) => ids.length)
      const width = Math.max(...lengths)
      const cells = batch.length * width
      const ids = new BigInt64Array(cells)
      const mask = new BigInt64Array(cells)
      batch.forEach((row, r) =>
        row.forEach((id, t) => {
          ids[r * width + t] = BigInt(id)
          mask[r * width + t] = 1n
        }),
      )
      const tensor = (data) => new ort.Tensor('int64', data, [batch.length, width])
      const out = await session.run({
        input_ids: tensor(ids),
        attention_mask: tensor(mask),
        token_type_ids: tensor(new BigInt64Array(cells)),
      })
      const hidden = out.last_hidden_state
      return meanPool(hidden.data, lengths, width, hidden.dims[2])
    },
    tokenCounts: (texts) => texts.map((text) => tokenizer.encode(text).length),
  }
})
