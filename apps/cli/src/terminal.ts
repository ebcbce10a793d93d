import { isatty } from 'node:tty';
import { styleText } from 'node:util';

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

/** Where text goes. Colours and width belong to the stream, so that a pipe gets neither. */
export interface Terminal {
  readonly isTTY: boolean;
  /** `undefined` where there is no terminal: lines are not cut then. */
  readonly columns: number | undefined;
  readonly colours: boolean;
  write(text: string): void;
}

export function terminalOf(stream: NodeJS.WriteStream & { readonly fd: number }): Terminal {
  const isTTY = isatty(stream.fd);
  return {
    isTTY,
    get columns() {
      return isTTY ? stream.columns : undefined;
    },
    // Node itself honours NO_COLOR and FORCE_COLOR here.
    colours: isTTY && stream.hasColors(),
    write: (text) => {
      stream.write(text);
    },
  };
}

export type Paint = (text: string, ...styles: readonly Style[]) => string;

export function paintFor(terminal: Pick<Terminal, 'colours'>): Paint {
  return (text, ...styles) =>
    terminal.colours && styles.length > 0 && text !== ''
      ? styleText([...styles], text, { validateStream: false })
      : text;
}

/** Control characters but line feed and tab, and what turns the reading direction. */
// oxlint-disable-next-line no-control-regex
const OBEYED = /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u202A-\u202E\u2066-\u2069]/g;

/** Text that somebody typed somewhere: a terminal would obey the escape sequences in it. */
export function printable(text: string): string {
  return text.replace(OBEYED, '\u{FFFD}');
}

export function oneLine(text: string): string {
  return printable(text).replaceAll(/\s+/g, ' ').trim();
}
