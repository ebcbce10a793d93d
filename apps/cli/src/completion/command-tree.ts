import type { Argument, Command, Option } from 'commander';
import { FAMILY_ARGUMENT, ROTATION_ARGUMENT } from '../define-command.js';

/** What may stand at a place of the command line. */
export type Kind = 'family' | 'rotation' | 'file' | 'folder' | 'text';

export interface Place {
  readonly kind: Kind;
  /** Nothing else may stand there. */
  readonly choices: readonly string[];
}

export interface CompletedOption {
  /** `--json`, and its short form where it has one. */
  readonly names: readonly string[];
  readonly about: string;
  /** `undefined`: it takes no value. */
  readonly value: Place | undefined;
}

/** One command as the shells need to know it: made from the program itself, so that it never lags behind. */
export interface CompletedCommand {
  /** `/token/create`; empty for the program itself. */
  readonly path: string;
  readonly about: string;
  readonly commands: readonly { readonly name: string; readonly about: string }[];
  readonly options: readonly CompletedOption[];
  /** The last one stands for all that follow where the command takes several. */
  readonly places: readonly Place[];
  readonly several: boolean;
}

export function commandTree(
  program: Command,
  path = '',
  siblings: readonly string[] = [],
): readonly CompletedCommand[] {
  const help = program.createHelp();
  const commands = help.visibleCommands(program);
  const names = commands.map((command) => command.name());
  return [
    {
      path,
      about: program.summary(),
      commands: commands.map((command) => ({ name: command.name(), about: command.summary() })),
      options: help.visibleOptions(program).map(optionOf),
      // After `keyturn help` comes the name of a command.
      places:
        program.name() === 'help'
          ? [{ kind: 'text', choices: siblings }]
          : program.registeredArguments.map(placeOf),
      several: program.registeredArguments.at(-1)?.variadic === true,
    },
    ...commands.flatMap((command) => commandTree(command, `${path}/${command.name()}`, names)),
  ];
}

function placeOf(argument: Argument): Place {
  const { description, argChoices } = argument;
  if (description === FAMILY_ARGUMENT) return { kind: 'family', choices: [] };
  if (description === ROTATION_ARGUMENT) return { kind: 'rotation', choices: [] };
  return { kind: kindNamed(argument.name()), choices: argChoices ?? [] };
}

function optionOf({
  long,
  short,
  description,
  required,
  optional,
  argChoices,
  flags,
}: Option): CompletedOption {
  const names = [long, short].filter((name) => typeof name === 'string');
  const placeholder = /[<[]([\w-]+)/.exec(flags)?.[1] ?? '';
  return {
    names,
    about: description,
    value: required || optional ? { kind: kindNamed(placeholder), choices: argChoices ?? [] } : undefined,
  };
}

function kindNamed(name: string): Kind {
  if (name === 'family' || name === 'rotation') return name;
  if (['file', 'files', 'path'].includes(name)) return 'file';
  return ['folder', 'directory'].includes(name) ? 'folder' : 'text';
}
