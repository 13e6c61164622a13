/** examples/service, which both READMEs quote, with clients that send invalid or too large bodies, or disconnect. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encode } from '../../src/index.js'
import { ROOT } from '../support/golden.js'

const SERVICE = path.join(ROOT, 'examples/service/service.mjs')

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

describe('the service', () => {
  let service: ChildProcess
  let port: number
  let said = ''

  const post = (body: string) => fetch(`http://127.0.0.1:${port}`, { method: 'POST', body })

  beforeAll(async () => {
    port = await freePort()
    service = spawn(process.execPath, [SERVICE], { env: { ...process.env, PORT: String(port) } })
    service.stderr!.on('data', (chunk) => (said += String(chunk)))
    for (;;) {
      if (service.exitCode !== null) throw new Error(`The service ended: ${said}`)
      const answer = await post('[]').catch(() => null)
      if (answer?.status === 200) break
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  })

  afterAll(() => service.kill())

  test('answers with the vectors of the texts', async () => {
    const texts = ['a text', '一只狗在跑']
    const answer = await post(JSON.stringify(texts))
    const expected = await encode(texts)
    expect(answer.headers.get('x-shape')).toBe(expected.shape.join())
    expect(new Float32Array(await answer.arrayBuffer())).toEqual(expected.data)
  })

  test.each([
    ['x', undefined, /^Expected a JSON list of texts: /],
    ['', undefined, /^Expected a JSON list of texts: /],
    ['{}', undefined, /^Expected a JSON list of at most 1024 texts$/],
    ['[1]', 'ERR_EMBEDCORE_INVALID_TEXT', /^Expected a string for text 0 but received 1$/],
    ['["a",null]', 'ERR_EMBEDCORE_INVALID_TEXT', /^Expected a string for text 1 but received null$/],
    [JSON.stringify(Array(1025).fill('a')), undefined, /^Expected a JSON list of at most 1024 texts$/],
    [`["${'a'.repeat(5_000_000)}"]`, undefined, /^Expected at most 4194304 bytes but received 5000004$/],
  ])('refuses a bad body %#', async (body, code, sentence) => {
    const answer = await post(body)
    expect(answer.status).toBe(400)
    const refusal = (await answer.json()) as { code?: string; error: string }
    expect(refusal.error).toMatch(sentence)
    expect(refusal.code).toBe(code)
  })

  test('survives clients that leave', async () => {
    const whole = JSON.stringify(Array(1000).fill('some words '.repeat(300)))
    for (const sent of ['["a', whole]) {
      const socket = connect(port, '127.0.0.1')
      await once(socket, 'connect')
      await new Promise((resolve) =>
        socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${whole.length}\r\n\r\n${sent}`, resolve),
      )
      socket.destroy()
    }
    expect((await post('["a"]')).status).toBe(200)
    expect(service.exitCode).toBeNull()
    expect(said).toBe('')
  })
})

test.each(['README.md', 'README.zh-CN.md'])('%s quotes the service as it is', (file) => {
  expect(readFileSync(path.join(ROOT, file), 'utf8')).toContain(readFileSync(SERVICE, 'utf8').trimEnd())
})
