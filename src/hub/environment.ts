/**
 * The address of the hub, its cache and its token: options first, then the environment variables of huggingface_hub
 * (Python), read at every call, then its defaults. The token never appears in an error.
 */
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'

import { EmbedCoreError } from '../core/errors.js'
import { homeDirectory } from '../core/home.js'
import { show } from '../core/show.js'
import type { HubOptions } from './types.js'

export interface HubSettings {
  /** Without a trailing slash. */
  readonly endpoint: string
  /** Absolute. */
  readonly cacheDir: string
  readonly token: string | undefined
  readonly offline: boolean
  /** The longest time until a server starts its answer, and between two parts of it. */
  readonly answerTimeoutMs: number
  readonly stallTimeoutMs: number
  readonly symlinks: boolean
}

/** The name of this machine in lock files. */
export const HOST = hostname()

export async function hubSettings(options: HubOptions): Promise<HubSettings> {
  return {
    endpoint: endpoint(),
    cacheDir: cacheDirectory(options.cacheDir),
    token: checkToken(options.token ?? (await implicitToken())),
    offline: options.offline ?? isTrue(variable('HF_HUB_OFFLINE') ?? variable('TRANSFORMERS_OFFLINE')),
    answerTimeoutMs: seconds('HF_HUB_ETAG_TIMEOUT', 10),
    stallTimeoutMs: seconds('HF_HUB_DOWNLOAD_TIMEOUT', 10),
    symlinks: !isTrue(variable('HF_HUB_DISABLE_SYMLINKS')),
  }
}

/** `~` and `~/x` as the shell reads them. */
export function expandHome(path: string): string {
  if (path !== '~' && !path.startsWith('~/') && !path.startsWith('~\\')) return path
  return join(homeDirectory() ?? noHome(`"~" in ${show(path)}`), path.slice(1))
}

function noHome(what: string): never {
  throw new EmbedCoreError(
    'ERR_EMBEDCORE_HUB',
    `Expected a home directory for ${what} but received none: this user has no HOME and no passwd entry; ` +
      'set HOME, HF_HOME, HF_HUB_CACHE or the option cacheDir',
  )
}

function variable(name: string): string | undefined {
  const value = process.env[name]
  return value === undefined || value === '' ? undefined : value
}

function isTrue(value: string | undefined): boolean {
  return value !== undefined && ['1', 'TRUE', 'ON', 'YES'].includes(value.toUpperCase())
}

function seconds(name: string, fallback: number): number {
  const value = Number(variable(name) ?? fallback)
  if (!(value > 0) || !Number.isFinite(value)) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected a number of seconds above 0 for ${name} but received ${show(process.env[name])}`,
    )
  }
  return value * 1000
}

/** huggingface_hub expands `~`, `$NAME` and `${NAME}` in its directories; unknown names stay as they are. */
function expand(path: string): string {
  return expandHome(path).replace(
    /\$(?:\{(\w+)\}|(\w+))/g,
    (whole, braced?: string, bare?: string) => process.env[braced ?? bare ?? ''] ?? whole,
  )
}

function home(): string {
  return expand(variable('HF_HOME') ?? join(variable('XDG_CACHE_HOME') ?? userCache(), 'huggingface'))
}

function userCache(): string {
  return join(homeDirectory() ?? noHome('the hub cache'), '.cache')
}

function cacheDirectory(option: string | undefined): string {
  if (option !== undefined) {
    if (typeof option !== 'string' || option === '') {
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_OPTION',
        `Expected the path of a directory for cacheDir but received ${show(option)}`,
      )
    }
    return resolve(expandHome(option))
  }
  return resolve(expand(variable('HF_HUB_CACHE') ?? variable('HUGGINGFACE_HUB_CACHE') ?? join(home(), 'hub')))
}

async function implicitToken(): Promise<string | undefined> {
  if (isTrue(variable('HF_HUB_DISABLE_IMPLICIT_TOKEN'))) return undefined
  const fromVariable = variable('HF_TOKEN') ?? variable('HUGGING_FACE_HUB_TOKEN')
  if (fromVariable !== undefined) return fromVariable
  try {
    return await readFile(expand(variable('HF_TOKEN_PATH') ?? join(home(), 'token')), 'utf8')
  } catch {
    return undefined // Not logged in, or not readable by this user: public models still load.
  }
}

/**
 * A token with characters that a header cannot have is refused here, because the HTTP client's error would print it.
 */
function checkToken(token: string | undefined): string | undefined {
  if (token === undefined) return undefined
  if (typeof token !== 'string')
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected a string for token but received a value of type ${typeof token}`,
    )
  const trimmed = token.trim()
  if (trimmed === '') return undefined
  if (!/^[\x21-\x7e]+$/.test(trimmed)) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      'Expected printable ASCII characters without spaces for the hub token but received others ' +
        '(it is read from the option token, HF_TOKEN or the token file: HF_TOKEN_PATH, else HF_HOME/token)',
    )
  }
  return trimmed
}

function endpoint(): string {
  const text = (variable('HF_ENDPOINT') ?? 'https://huggingface.co').replace(/\/+$/, '')
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected an http or https address for HF_ENDPOINT but received ${show(text)}`,
    )
  }
  if (url.username !== '' || url.password !== '') {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      'Expected an address without user name and password for HF_ENDPOINT but received one with them ' +
        `(host ${url.host}); put the token in HF_TOKEN`,
    )
  }
  return text
}
