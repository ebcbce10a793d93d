import { Option, type Command } from 'commander';
import { defineCommand, FAMILY_ARGUMENT } from '../define-command.js';
import { findFamily } from '../find.js';
import { refuseExisting, saveWhole } from '../save-file.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

interface RunbookOptions extends CommonOptions {
  readonly output?: string;
  readonly emergencyCard?: boolean;
  readonly paper: string;
  readonly force?: boolean;
}

export function registerRunbook(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'runbook',
    summary: "Write a family's runbook, or its emergency card, as a PDF of one page",
    about:
      'The runbook shows what is missing as missing. The emergency card says what to do by hand while Keyturn itself is down, and how to record it afterwards: print it before you need it.',
    examples: [
      'keyturn runbook production/session-jwt -o session-jwt.pdf',
      'keyturn runbook production/session-jwt --emergency-card --paper letter',
    ],
  })
    .argument('<family>', FAMILY_ARGUMENT)
    .option('-o, --output <file>', 'where to write it (default: runbook-NAME.pdf or emergency-card-NAME.pdf)')
    .option('--emergency-card', 'the card of raw back-end commands instead')
    .addOption(new Option('--paper <size>', 'the size of the sheet').choices(['a4', 'letter']).default('a4'))
    .option('--force', 'replace the file if it is there')
    .action(async (text: string, options: RunbookOptions) => {
      const { emergencyCard, paper, force } = options;
      if (options.output !== undefined) refuseExisting(options.output, force);
      const session = new Session(around, options);
      const { id, name } = await findFamily(session, text);
      const kind = emergencyCard === true ? 'emergency-card' : 'runbook';
      const output = options.output ?? `${kind}-${fileWord(name)}.pdf`;
      refuseExisting(output, force);
      const pdf = await session.client.bytes(`/families/${id}/${kind}.pdf`, { paper });
      saveWhole(output, pdf);
      session.answer({ family: id, file: output, bytes: pdf.length }, () => {
        session.line(`Written: ${output} (${pdf.length} bytes)`);
      });
    });
}

/** A name as part of a file's name: nothing a shell or a file system reads in its own way. */
function fileWord(name: string): string {
  const word = name.replaceAll(/[^A-Za-z0-9._-]+/g, '-').replaceAll(/^[.-]+|-+$/g, '');
  return word === '' ? 'family' : word.slice(0, 80);
}
