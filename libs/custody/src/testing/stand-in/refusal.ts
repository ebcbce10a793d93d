/** An answer of 400 and more, in the server's words. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly errors: readonly string[],
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(errors.join('\n'));
    this.name = 'Refusal';
  }

  static of(status: number, ...errors: readonly string[]): Refusal {
    return new Refusal(status, errors);
  }

  /** As the server puts errors of its own layers. */
  static several(status: number, error: string): Refusal {
    return new Refusal(status, [`1 error occurred:\n\t* ${error}\n\n`]);
  }
}
