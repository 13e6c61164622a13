/**
 * The special tokens that a tokenizer puts around every text, compared with `add_bos_token` and `add_eos_token` of
 * tokenizer_config.json.
 */
import { templateProcessing, type Tokenizer } from 'tokenizers'
import { EmbedCoreError } from '../core/errors.js'
import { reason, show } from '../core/show.js'
import type { Fields } from '../core/json-file.js'

export interface SpecialsAround {
  before: number[]
  after: number[]
}

/** Words that a vocabulary may need for a text to have tokens: a few of any language, then some of its own. */
function probes(tokenizer: Tokenizer): string[] {
  const own = [0, 1, 2, 3, 4, 5, 6, 7].map((id) => tokenizer.idToToken(id)).filter((token) => token !== null)
  return ['a', '0', '.', '的', ...own, '']
}

/** Special tokens are those without a sequence in the encoding of a text that has other tokens. */
export async function specialsAround({
  tokenizer,
  file,
  maxId,
}: {
  tokenizer: Tokenizer
  file: string
  maxId: number
}): Promise<SpecialsAround> {
  let failure: { probe: string; error: unknown } | null = null
  for (const probe of probes(tokenizer)) {
    let encoding
    try {
      encoding = await tokenizer.encode(probe, null, { addSpecialTokens: true })
    } catch (error) {
      // A vocabulary without an unknown token cannot encode every word; such a word fails in the call that has it.
      failure = { probe, error }
      continue
    }
    const ids = encoding.getIds()
    const strange = ids.find((id) => !(id >= 0 && id <= maxId))
    if (strange !== undefined)
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_FILE',
        `The post-processor in ${file} adds the token id ${strange}, but the vocabulary ends at ${maxId}`,
      )
    const own = encoding.getSequenceIds().map((sequence) => sequence !== null && sequence !== undefined)
    if (own.includes(true))
      return { before: ids.slice(0, own.indexOf(true)), after: ids.slice(own.lastIndexOf(true) + 1) }
    if (probe === '') return { before: ids, after: [] }
  }
  throw new EmbedCoreError(
    'ERR_EMBEDCORE_INVALID_FILE',
    `The tokenizer in ${file} cannot encode ${show(failure?.probe)}: ${reason(failure?.error)}`,
    { cause: failure?.error },
  )
}

/**
 * Classes whose post-processor is built from add_bos_token and add_eos_token in transformers 4, with their defaults.
 * transformers 5 no longer reads the two keys where there is a tokenizer.json; the models were trained with version 4.
 */
const TEMPLATE_CLASSES: Record<string, { bos: string; eos: string; addBos: boolean }> = {
  CodeLlamaTokenizer: { bos: '<s>', eos: '</s>', addBos: true },
  CohereTokenizer: { bos: '<BOS_TOKEN>', eos: '<|END_OF_TURN_TOKEN|>', addBos: true },
  GemmaTokenizer: { bos: '<bos>', eos: '<eos>', addBos: true },
  GPTNeoXTokenizer: { bos: '<|endoftext|>', eos: '<|endoftext|>', addBos: false },
  LlamaTokenizer: { bos: '<s>', eos: '</s>', addBos: true },
}

interface Request {
  tokenizer: Tokenizer
  file: string
  maxId: number
  config: Fields | null
  /** Without "Fast"; empty where it is not known. */
  className: string
  /** Texts of the special tokens by role, as the files give them. */
  roles: ReadonlyMap<string, string>
}

/**
 * Makes the tokenizer add the beginning and end tokens that tokenizer_config.json enables. Refuses the files if they
 * leave it open whether the model needs these tokens.
 */
export async function applyBeginAndEnd(request: Request): Promise<void> {
  const { tokenizer, config, className } = request
  if (config === null || !(config.has('add_bos_token') || config.has('add_eos_token'))) return
  const defaults = Object.hasOwn(TEMPLATE_CLASSES, className) ? TEMPLATE_CLASSES[className]! : null
  const addBos = config.flag('add_bos_token', defaults?.addBos ?? false)
  const addEos = config.flag('add_eos_token', false)
  const bos = addBos ? tokenOf(request, config, 'bos_token', defaults?.bos) : null
  const eos = addEos ? tokenOf(request, config, 'eos_token', defaults?.eos) : null
  const around = await specialsAround(request)
  if (defaults === null) {
    requirePresent(request, config, 'add_bos_token', bos, around.before)
    requirePresent(request, config, 'add_eos_token', eos, around.after)
    return
  }
  const same = (ids: number[], token: Token | null) => ids.length === (token ? 1 : 0) && ids[0] === token?.id
  if (same(around.before, bos) && same(around.after, eos)) return
  const single = [...(bos ? [`${bos.text}:0`] : []), '$A:0', ...(eos ? [`${eos.text}:0`] : [])].join(' ')
  const specials = [bos, eos].filter((token) => token !== null)
  tokenizer.setPostProcessor(
    templateProcessing(
      single,
      null,
      specials.map(({ text, id }): [string, number] => [text, id]),
    ),
  )
}

interface Token {
  text: string
  id: number
}

function tokenOf({ tokenizer, file, roles }: Request, config: Fields, role: string, usual?: string): Token {
  const text = roles.get(role) ?? (config.raw(role) === null ? undefined : usual)
  const id = text === undefined ? null : tokenizer.tokenToId(text)
  if (id !== null) return { text: text!, id }
  throw new EmbedCoreError(
    'ERR_EMBEDCORE_TOKENIZER_MISMATCH',
    `Expected a token of ${file} for "${role}" in ${config.file} (which "add_${role}" asks for) but found ` +
      show(text),
  )
}

function requirePresent({ file }: Request, config: Fields, key: string, token: Token | null, ids: number[]): void {
  if (token === null || ids.includes(token.id)) return
  throw new EmbedCoreError(
    'ERR_EMBEDCORE_TOKENIZER_MISMATCH',
    `Expected false for "${key}" in ${config.file} but found true: the post-processor in ${file} does not add ` +
      `${show(token.text)}, and transformers ignores the key for this class. Set it to false for the vectors of ` +
      `transformers, or add the token to the post-processor`,
  )
}
