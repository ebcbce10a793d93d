/**
 * One word of a command line that somebody copies: quoted where a shell would read it as several, or in its own way. Double
 * quotes where they do (they are read everywhere), else single ones as POSIX shells read them.
 */
export function shellWord(text: string): string {
  if (/^[\w./:@%+=,-]+$/.test(text)) return text;
  return /^[^"$`\\!]+$/.test(text) ? `"${text}"` : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
