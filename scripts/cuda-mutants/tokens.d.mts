export interface Token {
  type: 'name' | 'number' | 'string' | 'sign'
  text: string
  start: number
  end: number
  line: number
  template: boolean
}
export function tokenize(text: string): Token[]
export function closing(tokens: Token[], from: number): number
export function gpuBodies(tokens: Token[]): [number, number][]
