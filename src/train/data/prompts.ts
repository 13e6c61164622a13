/** Prompts by column, for all sources or one. */
import { EmbedCoreError } from '../../core/errors.js'
import { nearest, show } from '../../core/show.js'
import type { DataFormat } from './columns.js'
import type { Prompts } from './sources.js'

/** The prompt of each text column. That of a source takes the place of that of the call, which is for all sources. */
export function columnPrompts(
  format: DataFormat,
  call: Prompts | null,
  source: Prompts | null,
  name: string,
): string[] {
  if (source !== null && typeof source !== 'string')
    for (const column of Object.keys(source))
      if (!namesOf(format).includes(column)) throw unknownPrompt(column, namesOf(format), ` of ${name}`)
  return format.columns.map((column) => promptOf(source, column) ?? promptOf(call, column) ?? '')
}

/** A prompt of the call must be for a column of some source. */
export function refuseUnknownPrompts(call: Prompts | null, sources: readonly { format: DataFormat }[]): void {
  if (call === null || typeof call === 'string') return
  const known = [...new Set(sources.flatMap(({ format }) => namesOf(format)))]
  for (const column of Object.keys(call)) if (!known.includes(column)) throw unknownPrompt(column, known, '')
}

/** `negative` stands for negative_1, negative_2 and so on. */
function promptOf(prompts: Prompts | null, column: string): string | null {
  if (prompts === null || typeof prompts === 'string') return prompts
  if (Object.hasOwn(prompts, column)) return prompts[column]!
  return column.startsWith('negative_') && Object.hasOwn(prompts, 'negative') ? prompts.negative! : null
}

function namesOf({ columns }: DataFormat): string[] {
  return columns.includes('negative_1') ? [...columns, 'negative'] : [...columns]
}

function unknownPrompt(column: string, known: readonly string[], where: string): EmbedCoreError {
  const near = nearest(column, known)
  return new EmbedCoreError(
    'ERR_EMBEDCORE_UNKNOWN_OPTION',
    `Expected a column of the data${where} in prompts but received ${show(column)}; ` +
      (near === null ? `the columns are ${known.join(', ')}` : `did you mean ${show(near)}?`),
  )
}
