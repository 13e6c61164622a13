/**
 * A server on 127.0.0.1 that plays the Hugging Face hub: model info, file tree in pages, resolve with the hub's headers
 * and redirects, and a second origin (another port) as the CDN of large files. It logs requests and can produce faults.
 */
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface LoggedRequest {
  origin: 'hub' | 'cdn'
  method: string
  /** Decoded, without the query. */
  path: string
  range: string | undefined
  authorization: string | undefined
  accept: string | undefined
}

export interface Fault {
  /** The requests, by their decoded path. */
  path: RegExp
  /** The number of them. Default all. */
  times?: number
  /**
   * drop: the connection ends early; stall: no more bytes are sent; slow: the rest is sent later; whole: ranges are
   * ignored; short: a smaller file is sent.
   */
  kind: 'drop' | 'stall' | 'slow' | 'corrupt' | 'status' | 'whole' | 'short'
  /** drop, stall, slow, short: bytes sent before. */
  after?: number
  status?: number
  headers?: Record<string, string>
}

export type FakeFiles = Record<string, Buffer | string>

interface Commit {
  sha: string
  files: Map<string, Buffer>
}

interface Repository {
  commits: Map<string, Commit>
  revisions: Map<string, string>
}

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
export const gitBlobId = (bytes: Buffer): string =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
/** As in .gitattributes of the hub. */
export const isLarge = (path: string): boolean => /\.(?:safetensors|bin|onnx)$/.test(path)
export const etagOf = (path: string, bytes: Buffer): string => (isLarge(path) ? sha256(bytes) : gitBlobId(bytes))

export class FakeHub {
  readonly requests: LoggedRequest[] = []
  faults: Fault[] = []
  /** When set, requests to the hub without this token are refused. */
  token: string | undefined
  /** Entries in a page of the file tree. */
  pageSize = 1000
  /** Omits the etags from the tree, as some mirrors do. */
  bareTree = false
  /** Adds these entries to every tree. */
  extraTree: unknown[] = []
  private readonly repositories = new Map<string, Repository>()

  readonly url: string
  readonly cdnUrl: string

  private constructor(
    private readonly hub: Server,
    private readonly cdn: Server,
  ) {
    this.url = `http://127.0.0.1:${(hub.address() as AddressInfo).port}`
    this.cdnUrl = `http://127.0.0.1:${(cdn.address() as AddressInfo).port}`
  }

  static async start(): Promise<FakeHub> {
    const servers = [createServer(), createServer()] as const
    await Promise.all(servers.map((server) => new Promise<void>((done) => server.listen(0, '127.0.0.1', done))))
    const fake = new FakeHub(...servers)
    servers[0].on('request', (request, response) => fake.answerHub(request, response))
    servers[1].on('request', (request, response) => fake.answerCdn(request, response))
    return fake
  }

  /** May be called again. */
  async close(): Promise<void> {
    for (const server of [this.hub, this.cdn]) {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    }
  }

  /** The commit's id. */
  addCommit(repository: string, files: FakeFiles, branch = 'main'): string {
    const contents = new Map(Object.entries(files).map(([path, text]) => [path, Buffer.from(text)]))
    const sha = createHash('sha1')
      .update([...contents].map(([path, bytes]) => `${path} ${sha256(bytes)}`).join('\n'))
      .digest('hex')
    const kept = this.repositories.get(repository) ?? {
      commits: new Map<string, Commit>(),
      revisions: new Map<string, string>(),
    }
    kept.commits.set(sha, { sha, files: contents })
    kept.revisions.set(branch, sha)
    this.repositories.set(repository, kept)
    return sha
  }

  /** Requests whose path ends like this. */
  requestsFor(end: string): LoggedRequest[] {
    return this.requests.filter((request) => request.path.endsWith(end))
  }

  private log(origin: 'hub' | 'cdn', request: IncomingMessage): { path: string; fault: Fault | undefined } {
    const path = decodeURIComponent(new URL(request.url!, this.url).pathname)
    const { range, authorization, accept } = request.headers
    this.requests.push({ origin, method: request.method!, path, range, authorization, accept })
    const fault = this.faults.find((candidate) => candidate.path.test(path) && candidate.times !== 0)
    if (fault?.times !== undefined) fault.times--
    return { path, fault }
  }

  private refuse(response: ServerResponse, status: number, headers: Record<string, string> = {}): void {
    response.writeHead(status, headers).end()
  }

  private answerHub(request: IncomingMessage, response: ServerResponse): void {
    const { path, fault } = this.log('hub', request)
    if (fault?.kind === 'status') return this.refuse(response, fault.status!, fault.headers)
    if (this.token !== undefined && request.headers.authorization !== `Bearer ${this.token}`) {
      return this.refuse(response, 401, { 'x-error-message': 'Invalid username or password.' })
    }
    const api = /^\/api\/models\/(.+?)\/(revision|tree)\/(.+)$/.exec(path)
    const cached = /^\/api\/resolve-cache\/models\/(.+?)\/([0-9a-f]{40})\/(.+)$/.exec(path)
    const resolved = cached ?? /^\/(.+?)\/resolve\/(refs\/pr\/\d+|[^/]+)\/(.+)$/.exec(path)
    const [, id, second, third] = api ?? resolved ?? []
    const repository = this.repositories.get(id ?? '')
    if (repository === undefined)
      return this.refuse(response, 404, { 'x-error-code': 'RepoNotFound', 'x-error-message': 'Repository not found' })
    const revision = (api === null ? second : third)!
    const commit = repository.commits.get(repository.revisions.get(revision) ?? revision)
    if (commit === undefined)
      return this.refuse(response, 404, {
        'x-error-code': 'RevisionNotFound',
        'x-error-message': `Invalid rev id: ${revision}`,
      })
    if (api !== null && second === 'revision') return this.sendInfo(response, id!, commit)
    if (api !== null) return this.sendTree(request, response, commit)
    return this.sendFile(request, response, { id: id!, commit, path: third!, fault, direct: cached !== null })
  }

  private sendInfo(response: ServerResponse, id: string, { sha, files }: Commit): void {
    const siblings = [...files.keys()].map((rfilename) => ({ rfilename }))
    const info = {
      _id: '6',
      id,
      modelId: id,
      sha,
      private: false,
      gated: false,
      downloads: 1,
      likes: 1,
      lastModified: '2024-01-01T00:00:00.000Z',
      siblings,
      tags: [],
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(info))
  }

  private sendTree(request: IncomingMessage, response: ServerResponse, commit: Commit): void {
    const url = new URL(request.url!, this.url)
    const start = Number(url.searchParams.get('cursor') ?? 0)
    const entries: unknown[] = [...commit.files].map(([path, bytes]) => ({
      type: 'file',
      path,
      size: bytes.length,
      ...(this.bareTree ? {} : { oid: gitBlobId(bytes) }),
      ...(isLarge(path) && !this.bareTree
        ? {
            lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 134 },
            xetHash: sha256(Buffer.from(`xet ${path}`)),
          }
        : {}),
    }))
    entries.push({ type: 'directory', path: 'onnx', size: 0, oid: '0'.repeat(40) }, ...this.extraTree)
    const headers: Record<string, string> = { 'content-type': 'application/json' }
    if (start + this.pageSize < entries.length) {
      url.searchParams.set('cursor', String(start + this.pageSize))
      headers['link'] = `<${url.href}>; rel="next"`
    }
    response.writeHead(200, headers).end(JSON.stringify(entries.slice(start, start + this.pageSize)))
  }

  private sendFile(
    request: IncomingMessage,
    response: ServerResponse,
    input: { id: string; commit: Commit; path: string; fault: Fault | undefined; direct: boolean },
  ): void {
    const { id, commit, path, fault, direct } = input
    const bytes = commit.files.get(path)
    if (bytes === undefined)
      return this.refuse(response, 404, {
        'x-error-code': 'EntryNotFound',
        'x-error-message': 'Entry not found',
        'x-repo-commit': commit.sha,
      })
    const headers: Record<string, string> = { 'x-repo-commit': commit.sha, etag: `"${etagOf(path, bytes)}"` }
    if (isLarge(path)) {
      const location = `${this.cdnUrl}/${sha256(bytes)}/${path}`
      const xet = { 'x-xet-hash': sha256(Buffer.from(`xet ${path}`)) }
      return this.refuse(response, 302, {
        ...headers,
        ...xet,
        location,
        'x-linked-etag': `"${sha256(bytes)}"`,
        'x-linked-size': String(bytes.length),
      })
    }
    if (!direct)
      return this.refuse(response, 307, {
        ...headers,
        location: `/api/resolve-cache/models/${id}/${commit.sha}/${encodeURIComponent(path)}`,
      })
    this.sendBytes(request, response, { bytes, headers, fault })
  }

  private answerCdn(request: IncomingMessage, response: ServerResponse): void {
    const { path, fault } = this.log('cdn', request)
    if (fault?.kind === 'status') return this.refuse(response, fault.status!, fault.headers)
    const [, sha = ''] = path.split('/')
    const all = [...this.repositories.values()].flatMap((repository) =>
      [...repository.commits.values()].flatMap((commit) => [...commit.files.values()]),
    )
    const bytes = all.find((candidate) => sha256(candidate) === sha)
    if (bytes === undefined) return this.refuse(response, 404)
    this.sendBytes(request, response, { bytes, headers: { etag: '"of-the-cdn"' }, fault })
  }

  private sendBytes(
    request: IncomingMessage,
    response: ServerResponse,
    { bytes, headers, fault }: { bytes: Buffer; headers: Record<string, string>; fault: Fault | undefined },
  ): void {
    const [, from] = fault?.kind === 'whole' ? [] : (/^bytes=(\d+)-$/.exec(request.headers.range ?? '') ?? [])
    const start = Number(from ?? 0)
    if (from !== undefined && start >= bytes.length)
      return this.refuse(response, 416, { 'content-range': `bytes */${bytes.length}` })
    let body = Buffer.from(bytes.subarray(start))
    if (fault?.kind === 'corrupt') body[body.length - 1]! ^= 1
    if (fault?.kind === 'short') body = body.subarray(0, fault.after)
    const range: Record<string, string> =
      from === undefined ? {} : { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` }
    response.writeHead(from === undefined ? 200 : 206, {
      ...headers,
      ...range,
      'accept-ranges': 'bytes',
      'content-length': String(body.length),
    })
    if (request.method === 'HEAD') return void response.end()
    if (fault?.kind === 'drop' || fault?.kind === 'stall' || fault?.kind === 'slow') {
      response.write(body.subarray(0, fault.after), () => {
        // Later, because a client discards the bytes that it has not read when the connection ends.
        if (fault.kind === 'drop') setTimeout(() => response.destroy(), 250)
        if (fault.kind === 'slow') setTimeout(() => response.end(body.subarray(fault.after ?? 0)), 500)
      })
      return
    }
    response.end(body)
  }
}
