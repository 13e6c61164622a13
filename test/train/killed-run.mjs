// A run of the built package that writes a checkpoint after each step, to be killed at any moment.
import { train } from '../../dist/index.js'

const [model, output] = process.argv.slice(2)
const data = Array.from({ length: 64 }, (_, i) => ({ anchor: `fox ${i % 8} dog`, positive: `quick dog ${i % 8}` }))
const run = train({
  model,
  data,
  output,
  batchSize: 8,
  epochs: 50,
  learningRate: 1e-3,
  sampler: 'random',
  saveSteps: 1,
  resume: true,
  threads: 1,
})
for await (const { type, step } of run)
  if (type === 'checkpoint' || type === 'begin') process.stdout.write(`${type} ${step}\n`)
