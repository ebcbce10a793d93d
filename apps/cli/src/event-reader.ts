/** One event of a stream, as the HTML standard calls it. An empty `data` only moves the place. */
export interface ServerSentEvent {
  /** `message` where the stream does not say. */
  readonly type: string;
  readonly data: string;
  /** Where the stream stands after it; stays what it was where the event does not say. */
  readonly lastEventId: string | undefined;
}

/** Takes server-sent events apart, wherever their bytes are cut: an event counts once its empty line is there. */
export class EventReader {
  #rest = '';
  #type = 'message';
  #data: string[] = [];
  #lastEventId: string | undefined;

  *read(text: string): Generator<ServerSentEvent> {
    // A carriage return at the end may be half of a line's end.
    const whole = this.#rest + text;
    const held = whole.endsWith('\r') ? 1 : 0;
    const lines = whole.slice(0, whole.length - held).split(/\r\n|\n|\r/);
    this.#rest = (lines.pop() ?? '') + whole.slice(whole.length - held);
    for (const line of lines) {
      if (line !== '') {
        this.#field(line);
        continue;
      }
      yield { type: this.#type, data: this.#data.join('\n'), lastEventId: this.#lastEventId };
      this.#type = 'message';
      this.#data = [];
    }
  }

  #field(line: string): void {
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'event') this.#type = value;
    else if (name === 'data') this.#data.push(value);
    else if (name === 'id' && !value.includes('\0')) this.#lastEventId = value;
  }
}
