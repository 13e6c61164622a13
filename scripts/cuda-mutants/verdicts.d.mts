interface Mutant {
  file: string
  start: number
  end: number
  to: string
}
export class Verdicts<T extends object = Record<string, unknown>> {
  constructor(path: string)
  of(mutant: Mutant): T | undefined
  add(mutant: Mutant, verdict: T): void
  forget(): void
}
