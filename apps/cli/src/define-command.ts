import { InvalidArgumentError, type Command } from 'commander';
import { CliFailure } from './failures.js';

export interface CommandWords {
  /** `rotate <family>`, as commander reads it. */
  readonly usage: string;
  readonly summary: string;
  /** What a newcomer must know before using it. */
  readonly about?: string;
  readonly examples: readonly string[];
  /** Changes something, so its requests carry an Idempotency-Key. */
  readonly changes?: true;
  /** Ends in one JSON answer, unless told otherwise. */
  readonly json?: string;
}

/** A subcommand whose help teaches: what it is for, an example, the options all commands share. */
export function defineCommand(parent: Command, words: CommandWords): Command {
  const { usage, summary, about, examples, changes, json = 'answer with JSON only' } = words;
  const command = parent
    .command(usage)
    .summary(summary)
    .description(about === undefined ? summary : `${summary}\n\n${flowing(about)}`)
    .option('--json', json);
  if (changes === true) {
    command.option(
      '--idempotency-key <key>',
      'repeat an earlier run that got no answer: the service does it at most once',
    );
  }
  const title = examples.length === 1 ? 'Example' : 'Examples';
  return command.addHelpText(
    'after',
    `\n${title}:\n${examples.map((example) => `  $ ${example}`).join('\n')}\n\nExit codes: see keyturn --help`,
  );
}

/** Paragraphs without line ends of their own: the width they are read in is not the one they were written in. A table keeps its rows. */
function flowing(text: string): string {
  return text.replaceAll(/(?<!\n)\n(?![\n ])/g, ' ');
}

export const FAMILY_ARGUMENT = 'environment/name, or the id of a secret family';
export const ROTATION_ARGUMENT =
  "a rotation's id, the beginning of one, or environment/name for the rotation that runs there";

export const CONTAINMENT_ARGUMENT =
  'its id, the beginning of one, or environment/name of the family it denies';
export const DESTRUCTION_ARGUMENT = 'its id, the beginning of one, or environment/name of its family';

/** An option's parser that may throw our own failures. */
export function parsedBy<Value>(parse: (text: string) => Value): (text: string) => Value {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      if (error instanceof CliFailure) throw new InvalidArgumentError(error.message);
      throw error;
    }
  };
}

/** For options that may be given several times, and with several values each. */
export function listedBy(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text];
}
