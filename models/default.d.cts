export const directory: string
