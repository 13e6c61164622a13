/**
 * `add_prefix_space` of tokenizer_config.json: whether a space is put before a text, which a byte-level tokenizer makes
 * part of the first token.
 */
import { byteLevelPreTokenizer, type Tokenizer } from 'tokenizers'
import { EmbedCoreError } from '../core/errors.js'
import { Fields, type JsonValue } from '../core/json-file.js'

/** The only class for which transformers 4 and 5 agree to follow the key where tokenizer.json says otherwise. */
const FOLLOWS = 'RobertaTokenizer'

/** Follows the key where it contradicts tokenizer.json, or refuses it where versions of the reference differ. */
export function applyPrefixSpace(tokenizer: Tokenizer, json: Fields, config: Fields | null, className: string): void {
  const wanted = config?.flag('add_prefix_space', null) ?? null
  const step = json.fields('pre_tokenizer')
  if (wanted === null || step === null) return
  const contradicts = (one: Fields): boolean =>
    one.raw('type') === 'ByteLevel' && one.flag('add_prefix_space', true) !== wanted
  if (contradicts(step) && className === FOLLOWS) {
    tokenizer.setPreTokenizer(byteLevelPreTokenizer(wanted, step.flag('use_regex', true)))
    return
  }
  const steps = step.raw('pretokenizers')
  const inside = Array.isArray(steps) ? steps.filter(isObject).map((one) => Fields.of(one, json.file)) : []
  if (![step, ...inside].some(contradicts)) return
  throw new EmbedCoreError(
    'ERR_EMBEDCORE_UNSUPPORTED_MODEL',
    `Expected ${!wanted} for "add_prefix_space" in ${config!.file}, as the pre-tokenizer in ${json.file} has it, but ` +
      `found ${wanted}: versions of transformers differ in which of the two they follow`,
  )
}

function isObject(value: JsonValue): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
