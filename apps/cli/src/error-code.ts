/** By shape and not by class: errors of Node's own parts may come from another realm. */
export function codeOf(error: unknown): string | undefined {
  return field(error, 'code');
}

export function nameOf(error: unknown): string | undefined {
  return field(error, 'name');
}

export function causeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'cause' in error ? error.cause : undefined;
}

function field(error: unknown, name: 'code' | 'name'): string | undefined {
  if (typeof error !== 'object' || error === null || !(name in error)) return undefined;
  const value: unknown = Reflect.get(error, name);
  return typeof value === 'string' ? value : undefined;
}
