export interface FieldError {
  /** JSON pointer into the body; empty for the body itself. */
  readonly field: string;
  readonly message: string;
}

/** Longest name that is quoted back. */
const LONGEST_NAME = 60;

export function pointer(path: readonly PropertyKey[]): string {
  return path.map((part) => `/${shown(String(part)).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

function shown(name: string): string {
  return name.length <= LONGEST_NAME ? name : `${name.slice(0, LONGEST_NAME)}…`;
}
