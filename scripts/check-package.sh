#!/usr/bin/env bash
# Checks the package as a user gets it: packs it with a prebuilt addon, installs the archive elsewhere without install
# scripts, and uses it as ESM, as CommonJS, from TypeScript and by its command. Nothing may be compiled on the way.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# prebuildify empties build/. A CUDA backend that was built (npm run build:cuda) is packed beside the prebuilt addon.
cuda=build/Release/libembedcore_cuda.so
if [[ -e $cuda ]]; then cp "$cuda" "$scratch"; fi

npm run --silent build:prebuilt >/dev/null
if [[ -e $scratch/${cuda##*/} ]]; then
  for folder in prebuilds/*/; do cp "$scratch/${cuda##*/}" "$folder"; done
fi
ls prebuilds/*/*
npm pack --silent --pack-destination "$scratch" >/dev/null
ls -sh "$scratch"/*.tgz | sed "s#$scratch/##"

cd "$scratch"
echo '{"private": true, "type": "module"}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts ./embedcore-*.tgz
test ! -e node_modules/embedcore/build || { echo "check-package: something was compiled" >&2; exit 1; }

cat >esm.mjs <<'JS'
import { createRequire } from 'node:module'
import { embedCore, encode, EmbedCoreError } from 'embedcore'
const { shape } = await embedCore.encode(['a text', 'another'])
const error = await createRequire(import.meta.url)('embedcore').encode(5).catch((e) => e)
if (!(error instanceof EmbedCoreError)) throw new Error('ESM and CommonJS have classes of their own')
structuredClone(await encode('a text'))
console.log('ESM', shape)
JS
cat >commonjs.cjs <<'JS'
const { embedCore, EmbedCoreError } = require('embedcore')
embedCore.encode('a text').then(async ({ shape }) => {
  const error = await embedCore.encode(5).catch((e) => e)
  if (!(error instanceof EmbedCoreError)) throw new Error('an error of another class')
  console.log('CommonJS', shape)
})
JS
cat >types.ts <<'TS'
import { embedCore, type Model, type SentenceEmbeddings } from 'embedcore'
const model: Model = await embedCore.load()
const bits: SentenceEmbeddings<'ubinary'> = await model.encode(['a'], { precision: 'ubinary' })
const byte: Uint8Array = bits.row(0)
const plain = async (texts: string[]): Promise<SentenceEmbeddings> => embedCore.encode(texts)
const row: Float32Array = (await plain(['a'])).row(0)
const tokens = await model.encode('a', { output: 'token' })
const place: readonly [number, number] = tokens.text(0).offsets[0]!
// @ts-expect-error pooling has a fixed set of names
void model.encode('a', { pooling: 'average' })
console.log(byte, row, place)
TS
node esm.mjs
node commonjs.cjs
"$root/node_modules/.bin/tsc" --noEmit --strict --noUncheckedIndexedAccess --target es2022 --module nodenext \
  --skipLibCheck false --typeRoots "$root/node_modules/@types" --types node types.ts && echo 'types'
npx embedcore encode --json "a text" >/dev/null && echo 'command'
# What prebuildify took from this checkout is put back.
rm -rf "$root/prebuilds"
node "$root/scripts/build-native.cjs" >"$scratch/build.log" || { cat "$scratch/build.log" >&2; exit 1; }
if [[ -e $scratch/${cuda##*/} ]]; then cp "$scratch/${cuda##*/}" "$root/$cuda"; fi
