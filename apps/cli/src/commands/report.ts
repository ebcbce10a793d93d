import type { Command } from 'commander';
import { defineCommand, parsedBy, ROTATION_ARGUMENT } from '../define-command.js';
import { findRotation } from '../find.js';
import { refuseExisting, saveWhole } from '../save-file.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { treeSizeArgument } from '../words.js';

interface ReportOptions extends CommonOptions {
  readonly output: string;
  readonly force?: boolean;
  readonly known?: number;
}

export function registerReport(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'report',
    summary: "Write a rotation's record as a PDF",
    examples: ['keyturn report production/session-jwt -o session-jwt.pdf'],
  })
    .argument('<rotation>', ROTATION_ARGUMENT)
    .requiredOption('-o, --output <file>', 'where to write it')
    .option(
      '--known <treesize>',
      'as the first so many events of the log tell it',
      parsedBy(treeSizeArgument),
    )
    .option('--force', 'replace the file if it is there')
    .action(async (text: string, options: ReportOptions) => {
      const { output, force, known } = options;
      refuseExisting(output, force);
      const session = new Session(around, options);
      const { id } = await findRotation(session, text, { orLast: true });
      const pdf = await session.client.bytes(`/rotations/${id}/record.pdf`, { known });
      saveWhole(output, pdf);
      session.answer({ rotation: id, file: output, bytes: pdf.length }, () => {
        session.line(`Written: ${output} (${pdf.length} bytes)`);
      });
    });
}
