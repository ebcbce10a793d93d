import type { Path } from './path.js';

/** A value with the line it starts on. */
export interface JsonNode {
  readonly line: number;
  readonly value: unknown;
  readonly fields?: ReadonlyMap<string, JsonNode>;
  readonly items?: readonly JsonNode[];
}

/** Not JSON, from this line on. */
export class JsonSyntaxError extends Error {
  constructor(
    readonly line: number,
    message: string,
  ) {
    super(message);
  }
}

const MAX_DEPTH = 32;

/** JSON (RFC 8259) with the line of every value. `JSON.parse` forgets lines and keeps the last of two equal names. */
export class JsonReader {
  #at = 0;
  #line: number;
  readonly #path: (string | number)[] = [];

  constructor(
    private readonly text: string,
    private readonly options: {
      /** The line `text` starts on. */
      readonly line: number;
      /** What is said where no object starts. */
      readonly noObject: string;
      /** Of a name that stands twice: JSON as such is read on. */
      readonly problem: (line: number, path: Path, message: string) => void;
    },
  ) {
    this.#line = options.line;
  }

  read(): JsonNode {
    this.#space();
    if (this.text[this.#at] !== '{') {
      throw this.#error(this.options.noObject);
    }
    const root = this.#value();
    this.#space();
    if (this.#at < this.text.length) throw this.#error('is not JSON: something stands after the end');
    return root;
  }

  #error(message: string): JsonSyntaxError {
    return new JsonSyntaxError(this.#line, message);
  }

  #space(): void {
    for (;;) {
      const code = this.text.charCodeAt(this.#at);
      if (code === 0x0a) this.#line += 1;
      else if (code !== 0x20 && code !== 0x0d && code !== 0x09) return;
      this.#at += 1;
    }
  }

  #value(): JsonNode {
    const line = this.#line;
    const first = this.text[this.#at];
    if (first === '{') return this.#object(line);
    if (first === '[') return this.#array(line);
    return { line, value: first === '"' ? this.#string() : this.#scalar() };
  }

  #deeper(): void {
    this.#at += 1;
    if (this.#path.length > MAX_DEPTH) throw this.#error(`must not nest deeper than ${MAX_DEPTH}`);
    this.#space();
  }

  /** After a member: true where another follows. */
  #more(close: '}' | ']'): boolean {
    this.#space();
    const next = this.text[this.#at];
    if (next !== ',' && next !== close) {
      throw this.#error(`is not JSON: expected "," or "${close}"`);
    }
    this.#at += 1;
    this.#space();
    return next === ',';
  }

  #object(line: number): JsonNode {
    const fields = new Map<string, JsonNode>();
    this.#deeper();
    if (this.text[this.#at] === '}') this.#at += 1;
    else {
      do {
        if (this.text[this.#at] !== '"') throw this.#error('is not JSON: expected a name in double quotes');
        const nameLine = this.#line;
        const name = this.#string();
        this.#space();
        if (this.text[this.#at] !== ':') throw this.#error('is not JSON: expected ":"');
        this.#at += 1;
        this.#space();
        this.#path.push(name);
        if (fields.has(name)) this.options.problem(nameLine, this.#path, 'must not stand twice');
        fields.set(name, this.#value());
        this.#path.pop();
      } while (this.#more('}'));
    }
    // `fromEntries` makes plain properties, also of a name such as __proto__.
    return {
      line,
      fields,
      value: Object.fromEntries([...fields].map(([name, node]) => [name, node.value])),
    };
  }

  #array(line: number): JsonNode {
    const items: JsonNode[] = [];
    this.#deeper();
    if (this.text[this.#at] === ']') this.#at += 1;
    else {
      do {
        this.#path.push(items.length);
        items.push(this.#value());
        this.#path.pop();
      } while (this.#more(']'));
    }
    return { line, items, value: items.map((item) => item.value) };
  }

  #string(): string {
    const start = this.#at;
    let end = start;
    let escaped = true;
    while (escaped) {
      end = this.text.indexOf('"', end + 1);
      if (end < 0) throw this.#error('is not JSON: a string does not end');
      let slashes = 0;
      while (this.text[end - 1 - slashes] === '\\') slashes += 1;
      escaped = slashes % 2 === 1;
    }
    const quoted = this.text.slice(start, end + 1);
    this.#at = end + 1;
    try {
      return String(JSON.parse(quoted));
    } catch {
      throw this.#error('is not JSON: a string holds a line break, a control character or a bad escape');
    }
  }

  #scalar(): unknown {
    SCALAR.lastIndex = this.#at;
    const match = SCALAR.exec(this.text);
    if (match === null) throw this.#error('is not JSON: expected a value');
    this.#at += match[0].length;
    return JSON.parse(match[0]);
  }
}

const SCALAR = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])/y;

/** Of the value at a path, or of the nearest thing around it that is there. */
export function lineAt(node: JsonNode, path: Path): number {
  let found = node;
  for (const part of path) {
    const inner = typeof part === 'number' ? found.items?.[part] : found.fields?.get(part);
    if (inner === undefined) break;
    found = inner;
  }
  return found.line;
}
