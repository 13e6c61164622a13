export function open(): unknown
