// One word, two meanings: the vector of 苹果 ("apple") depends on its sentence. The token vectors of a Chinese BERT
// distinguish the fruit from the company; a static vector cannot.
//
//   node examples/polysemy/polysemy.mjs [MODEL]      a directory or hub id; default ../shared/models/bge-small-zh-v1.5,
//   else BAAI/bge-small-zh-v1.5
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { embedCore } from 'embedcore'

const WORD = '苹果'
const USES = [
  ['fruit', '我每天早上吃一个苹果，又脆又甜。'],
  ['fruit', '超市里的苹果和香蕉都很新鲜。'],
  ['company', '苹果发布了新款手机和笔记本电脑。'],
]

const beside = fileURLToPath(new URL('../../../shared/models/bge-small-zh-v1.5', import.meta.url))
const model = await embedCore.load(process.argv[2] ?? (existsSync(beside) ? beside : 'BAAI/bge-small-zh-v1.5'))
const tokens = await model.encode(
  USES.map(([, sentence]) => sentence),
  { output: 'token' },
)

/** Mean of the vectors of the tokens inside the word, found by their offsets. */
function wordVector(i) {
  const text = tokens.text(i)
  const start = USES[i][1].indexOf(WORD)
  const inside = text.offsets.flatMap(([from, to], t) =>
    to > from && from >= start && to <= start + WORD.length ? [t] : [],
  )
  return Float32Array.from(
    { length: text.shape[1] },
    (_, d) => inside.reduce((sum, t) => sum + text.row(t)[d], 0) / inside.length,
  )
}

const vectors = Float32Array.from(USES.flatMap((_, i) => [...wordVector(i)]))
const cosines = await embedCore.similarity(vectors, vectors, { dimension: model.info.hiddenSize })
const cosine = (i, j) => cosines.row(i)[j]
await model.dispose()

for (const [i, [meaning, sentence]] of USES.entries()) console.log(`${i + 1}  ${meaning.padEnd(8)} ${sentence}`)
for (const [i, j] of [
  [0, 1],
  [0, 2],
  [1, 2],
])
  console.log(`cosine of ${WORD} in ${i + 1} and ${j + 1}: ${cosine(i, j).toFixed(3)}  (${USES[i][0]}, ${USES[j][0]})`)
const told = cosine(0, 1) > cosine(0, 2) && cosine(0, 1) > cosine(1, 2)
console.log(
  told ? 'The two fruits are closer to each other than to the company.' : 'This model does not tell them apart.',
)
process.exitCode = told ? 0 : 1
