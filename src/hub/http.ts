/**
 * Requests to the hub. The token is sent to the origin of the endpoint only, whatever a redirect or a link says. A
 * request that fails for a temporary reason (connection, time-out, 408, 429, 5xx) throws a `HubFailure` with
 * `transient` set; `describeFailure` makes the sentence for the caller.
 */
import { setTimeout as sleep } from 'node:timers/promises'

import { abortError } from '../core/abort.js'
import { EmbedCoreError } from '../core/errors.js'
import type { HubSettings } from './environment.js'

export const ATTEMPTS = 5
const FIRST_DELAY_MS = 250
const LONGEST_DELAY_MS = 30_000
const MOST_REDIRECTS = 10
/** Answers of the hub's API are kept in memory; a page of a thousand files is about 300 KB. */
const LARGEST_ANSWER = 64 * 2 ** 20

/** A failed request. `status` is 0 if there was no answer. */
export class HubFailure extends Error {
  constructor(
    message: string,
    readonly status: number,
    /** `X-Error-Code`: RepoNotFound, RevisionNotFound, EntryNotFound, GatedRepo. */
    readonly hubCode?: string,
    readonly hubMessage?: string,
    readonly retryAfterMs?: number,
    cause?: unknown,
  ) {
    super(message, { cause })
  }

  get transient(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500
  }
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  /** The body; ends the connection when left early. Must be read or `close`d. */
  chunks(): AsyncGenerator<Uint8Array, void, undefined>
  close(): void
}

export interface RequestInput {
  method?: 'GET' | 'HEAD'
  headers?: Record<string, string>
  /**
   * Stop at a redirect to another origin and return it, because its headers describe the file, and those of the target
   * only the copy.
   */
  stayOnOrigin?: boolean
}

export class HubHttp {
  private readonly origin: string

  constructor(
    readonly settings: HubSettings,
    readonly signal?: AbortSignal,
  ) {
    this.origin = new URL(settings.endpoint).origin
  }

  /** One attempt, which follows redirects. Throws for answers other than 2xx. */
  async request(address: string, input: RequestInput = {}): Promise<Answer> {
    let url = new URL(address)
    for (let hop = 0; hop <= MOST_REDIRECTS; hop++) {
      const answer = await this.send(url, input)
      const location = answer.headers.get('location')
      if (answer.status < 300 || answer.status >= 400 || location === null) {
        if (answer.status >= 200 && answer.status < 300) return answer
        answer.close()
        throw this.failure(answer, url)
      }
      const next = new URL(location, url)
      if (!/^https?:$/.test(next.protocol)) {
        answer.close()
        throw new HubFailure(`${url.host} redirects to an address that is not http: ${next.protocol}`, 400)
      }
      if (input.stayOnOrigin && next.origin !== url.origin) return answer
      answer.close()
      url = next
    }
    throw new HubFailure(`${this.origin} redirected more than ${MOST_REDIRECTS} times`, 400)
  }

  /**
   * `fetch` for the hub client: the client accepts only tokens of the form `hf_…`, which mirrors do not use, and it has
   * no retries or time-outs. The whole answer is read here so that a connection lost in the body is retried too.
   */
  fetchWithRetries(attempts: number, mostRequests: number): typeof fetch {
    let requests = 0
    return async (input, init) => {
      if (++requests > mostRequests) throw new HubFailure(`the hub's listing goes on after ${mostRequests} pages`, 400)
      const address = input instanceof Request ? input.url : String(input)
      const headers = Object.fromEntries(new Headers(init?.headers))
      delete headers['authorization']
      return this.retrying(attempts, async () => {
        const answer = await this.request(address, { headers })
        const parts: Uint8Array[] = []
        let length = 0
        for await (const chunk of answer.chunks()) {
          length += chunk.length
          if (length > LARGEST_ANSWER)
            throw new HubFailure(`the hub's answer is larger than ${LARGEST_ANSWER} bytes`, 400)
          parts.push(chunk)
        }
        return new Response(Buffer.concat(parts), { status: answer.status, headers: answer.headers })
      })
    }
  }

  async retrying<T>(attempts: number, work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work()
      } catch (error) {
        if (!(error instanceof HubFailure) || !error.transient || attempt >= attempts) throw error
        await this.pause(attempt, error)
      }
    }
  }

  /**
   * Waits before attempt `failures + 1`: as long as the server requests, else twice as long each time, with random
   * jitter.
   */
  async pause(failures: number, failure?: HubFailure): Promise<void> {
    const doubling = FIRST_DELAY_MS * 2 ** (failures - 1) * (0.75 + Math.random() / 2)
    try {
      await sleep(Math.min(failure?.retryAfterMs ?? doubling, LONGEST_DELAY_MS), undefined, { signal: this.signal })
    } catch {
      throw abortError(this.signal)
    }
  }

  private async send(url: URL, input: RequestInput): Promise<Answer> {
    const { settings, signal } = this
    if (signal?.aborted) throw abortError(signal)
    const controller = new AbortController()
    const onAbort = (): void => controller.abort(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    let timer: NodeJS.Timeout | undefined
    const arm = (ms: number): void => {
      clearTimeout(timer)
      timer = setTimeout(() => controller.abort(new Error(`nothing came from ${url.host} for ${ms / 1000} s`)), ms)
    }
    const close = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      controller.abort()
    }
    const headers: Record<string, string> = {
      'user-agent': `embedcore; node/${process.versions.node}`,
      ...input.headers,
    }
    if (settings.token !== undefined && url.origin === this.origin)
      headers['authorization'] = `Bearer ${settings.token}`
    try {
      arm(settings.answerTimeoutMs)
      const response = await fetch(url, {
        method: input.method ?? 'GET',
        headers,
        redirect: 'manual',
        signal: controller.signal,
      })
      clearTimeout(timer)
      const fail = (error: unknown): Error => this.lost(error, url)
      return {
        status: response.status,
        headers: response.headers,
        close,
        async *chunks() {
          try {
            const reader = response.body?.getReader()
            while (reader !== undefined) {
              let part
              try {
                arm(settings.stallTimeoutMs)
                part = await reader.read()
                clearTimeout(timer)
              } catch (error) {
                throw fail(error)
              }
              if (part.done) return
              yield part.value
            }
          } finally {
            close()
          }
        },
      }
    } catch (error) {
      close()
      throw this.lost(error, url)
    }
  }

  private lost(error: unknown, url: URL): Error {
    if (this.signal?.aborted) return abortError(this.signal)
    const { cause, message } = error as { cause?: { code?: unknown; message?: unknown }; message?: unknown }
    return new HubFailure(
      `${url.host}: ${String(cause?.code ?? cause?.message ?? message)}`,
      0,
      undefined,
      undefined,
      undefined,
      error,
    )
  }

  private failure(answer: Answer, url: URL): HubFailure {
    const { headers, status } = answer
    const hubMessage = headers.get('x-error-message') ?? undefined
    const after = Number(headers.get('retry-after') ?? NaN) * 1000
    return new HubFailure(
      `${url.host}${url.origin === this.origin ? url.pathname : ''} answered ${status}`,
      status,
      headers.get('x-error-code') ?? undefined,
      hubMessage === undefined ? undefined : this.withoutToken(hubMessage.replace(/[^\x20-\x7e]/g, ' ').slice(0, 300)),
      Number.isFinite(after) && after >= 0 ? after : undefined,
    )
  }

  private withoutToken(text: string): string {
    return this.settings.token === undefined ? text : text.replaceAll(this.settings.token, '[token]')
  }
}

/** The message for the caller. `what` is the repository or a file of it. */
export function describeFailure(
  failure: HubFailure,
  repository: string,
  revision: string,
  settings: HubSettings,
): EmbedCoreError {
  const { status, hubCode } = failure
  const { endpoint } = settings
  const page = `${endpoint}/${repository}`
  const said = failure.hubMessage === undefined ? '' : `; the hub says: "${failure.hubMessage}"`
  const make = (code: 'ERR_EMBEDCORE_HUB' | 'ERR_EMBEDCORE_NOT_FOUND', sentence: string): EmbedCoreError =>
    new EmbedCoreError(code, sentence + said, { cause: failure })

  if (hubCode === 'GatedRepo' || (status === 403 && hubCode === undefined)) {
    const token =
      settings.token === undefined
        ? 'then set HF_TOKEN or the token option'
        : 'with the account of the token in use, and check that the token may read gated repositories'
    return make(
      'ERR_EMBEDCORE_HUB',
      `The hub refuses "${repository}" (${status}): it is gated or restricted; ask for access at ${page}, ${token}`,
    )
  }
  if (status === 401 || status === 403) {
    return make(
      'ERR_EMBEDCORE_HUB',
      settings.token === undefined
        ? `The hub refuses "${repository}" without a token (${status}): there is no such repository, or it is ` +
            `private or gated; check the id at ${page}, and if it is right, set HF_TOKEN or the token option`
        : `The hub refuses "${repository}" with the token in use (${status}): the token is wrong, has expired or may ` +
            `not read it, or there is no such repository; check ${page} and the token's rights`,
    )
  }
  if (status === 404 && hubCode === 'RevisionNotFound') {
    return make(
      'ERR_EMBEDCORE_NOT_FOUND',
      `Expected a branch, tag or commit of the hub repository "${repository}" for revision but received ` +
        `"${revision}"; see ${page}/tree/main for those it has`,
    )
  }
  if (status === 404 && hubCode === 'EntryNotFound') {
    return make(
      'ERR_EMBEDCORE_HUB',
      `The hub lists a file of "${repository}" that it then cannot find (${failure.message})`,
    )
  }
  if (status === 404) {
    const secret =
      settings.token === undefined
        ? ', or it is private and needs a token (HF_TOKEN or the token option)'
        : ', or the token in use may not see it'
    return make(
      'ERR_EMBEDCORE_NOT_FOUND',
      `Expected the path of a directory or a hub id for the model but received "${repository}": there is no such ` +
        `directory, and the hub at ${endpoint} has no model of that name${secret}`,
    )
  }
  if (status === 429)
    return make(
      'ERR_EMBEDCORE_HUB',
      `The hub at ${endpoint} has too many requests from here (429) and still refuses "${repository}" after ` +
        `${ATTEMPTS} attempts; wait, or set a token`,
    )
  if (status >= 500)
    return make(
      'ERR_EMBEDCORE_HUB',
      `The hub at ${endpoint} is out of order: ${failure.message} for "${repository}"; ` +
        'what was downloaded so far is kept and resumed',
    )
  if (status === 0) {
    return make(
      'ERR_EMBEDCORE_HUB',
      `"${repository}" could not be downloaded (${failure.message}), and ${settings.cacheDir} has no complete copy; ` +
        `check the network and HF_ENDPOINT (${endpoint}); what was downloaded so far is kept and resumed`,
    )
  }
  return make('ERR_EMBEDCORE_HUB', `The hub gave no usable answer for "${repository}": ${failure.message}`)
}
