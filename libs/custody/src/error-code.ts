/** The code of a system error (`ENOENT`). Not `instanceof Error`: under jest, Node's own errors come from another realm. */
export function errorCode(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'no code';
}
