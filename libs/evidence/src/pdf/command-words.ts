/** How a family is named on a command line that somebody types from paper. */
export function familyWord({
  id,
  qualifiedName,
}: {
  readonly id: string;
  readonly qualifiedName: string;
}): string {
  // An id is always one word; a name that is long, or that a shell would read in its own way, is not printed as one.
  if (qualifiedName.length > LONGEST_NAME) return id;
  if (/^[\w./-]+$/u.test(qualifiedName) && isAscii(qualifiedName)) return qualifiedName;
  return /^[\w./,()+@ -]+$/u.test(qualifiedName) && isAscii(qualifiedName) ? `"${qualifiedName}"` : id;
}

const LONGEST_NAME = 48;

function isAscii(text: string): boolean {
  return /^[\u0020-\u007e]*$/u.test(text);
}
