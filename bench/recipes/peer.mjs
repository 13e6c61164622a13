/** sentence-transformers on the batches of our run: one file of batches, one of the plan, one process. */
import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { BENCH, CACHE } from '../lib/paths.mjs'

/** The package's sampler is not public: its sources are bundled. */
export async function bundledSampler() {
  const outfile = join(CACHE, 'recipes', 'sampled-batches.mjs')
  mkdirSync(dirname(outfile), { recursive: true })
  await build({
    entryPoints: [join(BENCH, 'recipes', 'sampled-batches.ts')],
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    logLevel: 'error',
    outfile,
  })
  return (await import(pathToFileURL(outfile).href)).sampledBatches
}

/**
 * Trains the task in Python. `base`: the model that it begins with, where new parts have their first weights already.
 * Returns { versions, losses, seconds, ... }; the model is in `output`.
 */
export function trainInPython(python, { task, batches, base, seed, compared, threads, folder, output }) {
  const { train } = task
  const plan = {
    model: base,
    losses: [train.loss].flat(),
    lora: train.method !== undefined,
    learningRate: train.learningRate,
    maxTokens: train.maxTokens ?? null,
    compared,
    seed,
    threads,
    output,
  }
  mkdirSync(folder, { recursive: true })
  const [planFile, batchFile] = [join(folder, 'plan.json'), join(folder, 'batches.jsonl')]
  writeFileSync(planFile, JSON.stringify(plan))
  writeFileSync(batchFile, batches.map((batch) => JSON.stringify(batch) + '\n').join(''))
  const env = { ...process.env, HF_HUB_OFFLINE: '1', OMP_NUM_THREADS: String(threads) }
  const args = [join(BENCH, 'recipes', 'replay.py'), planFile, batchFile]
  return new Promise((resolve, reject) => {
    execFile(python, args, { env, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      if (error)
        reject(new Error(`${python} bench/recipes/replay.py failed: ${stderr.trim().split('\n').slice(-3).join(' | ')}`)) // prettier-ignore
      else resolve(JSON.parse(stdout.trim().split('\n').at(-1)))
    })
  })
}
