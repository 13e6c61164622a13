export class ReportCache {
  constructor(directory: string, folders: readonly string[], common: readonly string[])
  get<T>(name: string, file: string, args: readonly string[], make: () => Promise<T>): Promise<T>
  set<T>(name: string, file: string, args: readonly string[], result: T): void
}
