export interface Ended {
  code: number | null
  signal?: string
  late?: 'processor' | 'wall'
  output: string
  seconds: number
}
export function execute(
  file: string,
  args: readonly string[],
  limits: { processor: number; wall: number },
  env?: Record<string, string>,
): Promise<Ended>
export function secondsOf(times: string): number
