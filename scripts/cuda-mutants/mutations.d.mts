export interface Mutation {
  kind: string
  start: number
  end: number
  to: string
  line: number
  old: string
  new: string
}
export const KINDS: Record<string, unknown>
export function changed(text: string, change: Pick<Mutation, 'start' | 'end' | 'to'>): string
export function mutationsOf(text: string): Mutation[]
