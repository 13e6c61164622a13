// A run of the built package in a process of its own, which its parent kills, or whose disk or memory it takes away.
// The first line of stdin is JSON: options of train, and `more`, rows that come when there is a second line. Prints a
// line of JSON for each event, for the error if there is one, and at last for a call of the model: it works on.
import { createInterface } from 'node:readline'
import { load, train } from '../../dist/index.js'

const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const { more, ...options } = JSON.parse((await input.next()).value)
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)

async function* rows() {
  yield* options.data
  await input.next()
  yield* more
}

try {
  const run = train(more === undefined ? options : { ...options, data: rows })
  for await (const { type, step } of run) say({ type, step })
} catch (error) {
  say({ type: 'error', code: error.code, message: error.message })
}
const model = await load(options.model)
const [vector] = await model.encode(['quick fox'])
say({ type: 'alive', dimension: vector.length })
await model.dispose()
process.stdin.destroy()
