export function inRandomOrder<T extends { file: string; kind: string }>(mutants: T[], seed: number): T[]
