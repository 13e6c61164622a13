// POST a JSON list of texts; the answer is one float32 vector for each text, one after the other.
import { createServer } from 'node:http'
import { EmbedCoreError, load } from 'embedcore'

const MAX_BYTES = 4 * 1024 * 1024
const MAX_TEXTS = 1024
const STATUS = {
  ERR_EMBEDCORE_INVALID_TEXT: 400,
  ERR_EMBEDCORE_QUEUE_FULL: 503,
  ERR_EMBEDCORE_OUT_OF_MEMORY: 503,
}

class BadRequest extends Error {}

async function readTexts(request) {
  const chunks = []
  let bytes = 0
  for await (const chunk of request) {
    bytes += chunk.length
    if (bytes <= MAX_BYTES) chunks.push(chunk) // The rest of a body that is too long is read and dropped.
  }
  if (bytes > MAX_BYTES) throw new BadRequest(`Expected at most ${MAX_BYTES} bytes but received ${bytes}`)
  let texts
  try {
    texts = JSON.parse(Buffer.concat(chunks).toString())
  } catch (error) {
    throw new BadRequest(`Expected a JSON list of texts: ${error.message}`)
  }
  if (!Array.isArray(texts) || texts.length > MAX_TEXTS)
    throw new BadRequest(`Expected a JSON list of at most ${MAX_TEXTS} texts`)
  return texts
}

const model = await load(process.argv[2]) // a hub id, a directory, or nothing for the built-in model

const server = createServer(async (request, response) => {
  const gone = new AbortController()
  response.on('close', () => gone.abort()) // The client has left: its texts that still wait are not encoded.
  try {
    const { data, shape } = await model.encode(await readTexts(request), { signal: gone.signal })
    response.setHeader('content-type', 'application/octet-stream')
    response.setHeader('x-shape', shape.join())
    response.end(Buffer.from(data.buffer, data.byteOffset, data.byteLength))
  } catch (error) {
    if (gone.signal.aborted) return
    const status = error instanceof BadRequest ? 400 : (error instanceof EmbedCoreError && STATUS[error.code]) || 500
    if (status === 500) console.error(error)
    if (status === 503) response.setHeader('retry-after', '1')
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ code: error.code, error: status === 500 ? 'Internal error' : error.message }))
  }
})
server.listen(process.env.PORT ?? 8080)
