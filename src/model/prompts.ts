/**
 * Prompts of a model: texts put before every input, by name, with the rules of sentence-transformers for which one
 * applies.
 */
import { EmbedCoreError } from '../core/errors.js'
import { show } from '../core/show.js'
import type { Fields } from '../core/json-file.js'

export interface Prompts {
  /**
   * The prompts of config_sentence_transformers.json. `query` and `document` always exist; they are empty if the model
   * has none.
   */
  prompts: Record<string, string>
  /** Used when a call names neither `prompt` nor `promptName`. */
  defaultPromptName: string | null
}

/** The prompts of sentence-transformers for a model that has none. */
export const NO_PROMPTS: Prompts = { prompts: { query: '', document: '' }, defaultPromptName: null }

export function readPrompts(config: Fields): Prompts {
  const entries: [string, string][] = [
    ['query', ''],
    ['document', ''],
  ]
  const given = config.fields('prompts')
  for (const name of given?.keys ?? []) entries.push([name, given!.text(name, '')])
  // fromEntries defines own properties, so that a prompt called "__proto__" is a prompt.
  const prompts = Object.fromEntries(entries)
  const defaultPromptName = config.text('default_prompt_name', null)
  if (defaultPromptName !== null && !Object.hasOwn(prompts, defaultPromptName)) {
    config.refuse('default_prompt_name', `one of the prompts ${listNames(prompts)}`)
  }
  return { prompts, defaultPromptName }
}

/** The text to put before every input of a call; empty = none. */
export function resolvePrompt(model: Prompts, given: { prompt?: string; promptName?: string }): string {
  if (given.prompt !== undefined && given.promptName !== undefined) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected either prompt or promptName but received both: ${show(given.prompt)} and ${show(given.promptName)}`,
    )
  }
  if (given.prompt !== undefined) return given.prompt
  const name = given.promptName ?? model.defaultPromptName
  if (name === null) return ''
  if (!Object.hasOwn(model.prompts, name)) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected one of ${listNames(model.prompts)} for promptName but received ${show(name)}`,
    )
  }
  return model.prompts[name]!
}

/**
 * The prompts `encodeQuery` and `encodeDocument` use when the call names none. Both names always exist (see `Prompts`),
 * so the default prompt never applies there, and a prompt called "passage" is used by name only: that is what
 * sentence-transformers does, though it documents otherwise.
 */
export const QUERY_PROMPT = 'query'
export const DOCUMENT_PROMPT = 'document'

function listNames(prompts: Record<string, string>): string {
  const names = Object.keys(prompts)
  return names.slice(0, 20).map(show).join(', ') + (names.length > 20 ? ` and ${names.length - 20} more` : '')
}
