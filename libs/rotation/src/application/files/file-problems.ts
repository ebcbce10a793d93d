import type { Path } from './path.js';
import { nameShown } from './secret-shapes.js';

/** One thing that is wrong with a file. Names the place and the rule, never the value. */
export interface FileError {
  /** Where several files are read at once. */
  readonly file?: string;
  /** 1-based; 0 for the file as a whole. */
  readonly line: number;
  readonly field: string;
  readonly message: string;
}

/** Collects what is wrong with a file; nothing is said twice of one field. */
export class Problems {
  readonly #errors: FileError[] = [];
  readonly #said = new Set<string>();

  /** A file with more mistakes than `most` has one that repeats itself: those beyond are counted. */
  constructor(
    private readonly most: number,
    private readonly file?: string,
  ) {}

  add(line: number, path: Path, message: string): void {
    const field = fieldName(path);
    const key = `${line}\n${field}`;
    if (this.#said.has(key)) return;
    this.#said.add(key);
    if (this.#errors.length >= this.most) return;
    this.#errors.push({ ...(this.file === undefined ? {} : { file: this.file }), line, field, message });
  }

  none(): boolean {
    return this.#said.size === 0;
  }

  /** How many more there are than `sorted` names. */
  leftOut(): number {
    return this.#said.size - this.#errors.length;
  }

  sorted(): readonly FileError[] {
    return [...this.#errors].sort((left, right) => left.line - right.line);
  }
}

/** `rotation.facts[2].at`: inside its entry, whose line is told beside it. */
function fieldName(path: Path): string {
  const inside = path[0] === 'entries' && path.length > 2 ? path.slice(2) : path;
  const named = inside[0] === 'facts' ? ['rotation', ...inside] : inside;
  return named.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    const shown = nameShown(part);
    return text === '' ? shown : `${text}.${shown}`;
  }, '');
}
