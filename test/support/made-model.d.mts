export function makeModel(directory: string, options?: { layers?: number; seed?: number; maxTokens?: number }): string
