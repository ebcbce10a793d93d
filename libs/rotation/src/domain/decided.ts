import { formatInstant } from '#eventlog';

/** Whose decision stands and since when: a second one is refused with it, never acknowledged and dropped. */
export function byAndAt(subject: string | undefined, at: number | undefined): string {
  const by = subject === undefined ? '' : `by ${subject}`;
  const when = at === undefined ? '' : `at ${formatInstant(at)}`;
  return [by, when].filter((part) => part !== '').join(' ');
}

/** The same for a machine. */
export function decisionOf(
  subject: string | undefined,
  at: number | undefined,
): Readonly<Record<string, string>> {
  return {
    ...(subject === undefined ? {} : { by: subject }),
    ...(at === undefined ? {} : { at: formatInstant(at) }),
  };
}
