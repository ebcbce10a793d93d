import { Argument, type Command } from 'commander';
import { familySchema, rotationSchema } from '../api.js';
import { commandTree } from '../completion/command-tree.js';
import { completionScript, SHELLS, type Shell } from '../completion/scripts.js';
import { defineCommand } from '../define-command.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

const NAMES = ['families', 'rotations'] as const;
type Wanted = Shell | (typeof NAMES)[number];

export function registerCompletion(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'completion',
    summary: 'Completion for your shell: commands, options, and the names of families and rotations',
    about:
      'Prints a script. Names are asked of the service with the token you are signed in with, and left out where there is no\nanswer. "families" and "rotations" print those names, one a line: it is what the scripts call.',
    examples: [
      'source <(keyturn completion bash)',
      'keyturn completion zsh > "${fpath[1]}/_keyturn"',
      'keyturn completion fish > ~/.config/fish/completions/keyturn.fish',
    ],
  })
    .addArgument(new Argument('<shell>', 'which shell').choices([...SHELLS, ...NAMES]))
    .action(async (wanted: Wanted, options: CommonOptions) => {
      const shell = SHELLS.find((each) => each === wanted);
      if (shell !== undefined) {
        const script = completionScript(shell, commandTree(program));
        around.out.write(options.json === true ? `${JSON.stringify({ shell, script })}\n` : script);
        return;
      }
      const session = new Session(around, options);
      const { client } = session;
      const { items: families } = await client.all('/families', familySchema);
      const names = families.map(({ qualifiedName }) => qualifiedName);
      if (wanted === 'rotations') {
        const { items } = await client.all('/rotations', rotationSchema, { state: 'open' });
        names.splice(
          0,
          names.length,
          ...items.map(({ id }) => id),
          ...items.map(({ family }) => family.qualifiedName),
        );
      }
      session.answer(names, () => {
        session.lines([...new Set(names)]);
      });
    });
}
