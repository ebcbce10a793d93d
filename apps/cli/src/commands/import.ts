import { basename } from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import { DOCUMENT_MS } from '../api-client.js';
import { defineCommand } from '../define-command.js';
import { readFileOr } from '../read-file.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

const importedSchema = z.looseObject({ counts: z.looseObject({}), changed: z.boolean().optional() });

export function registerImport(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'import',
    summary: 'Take over a history that was kept elsewhere',
    about:
      'Imported facts drive the schedule and are labelled as imported everywhere; they never make a verdict. The same file\nagain adds nothing.',
    examples: ['keyturn import history.json'],
    changes: true,
  })
    .argument('<file>', 'the history as JSON')
    .action(async (file: string, options: CommonOptions) => {
      const content = readFileOr(file).toString('utf8');
      const session = new Session(around, options);
      const imported = await session.client.post('/imports', importedSchema, {
        body: { name: basename(file), content },
        patienceMs: DOCUMENT_MS,
      });
      session.answer(imported, () => {
        if (imported.changed === false) session.line('All of it was imported before; nothing was added.');
        session.line(`Imported from ${basename(file)}:`);
        for (const [what, count] of Object.entries(imported.counts)) {
          session.line(`  ${what.padEnd(16)} ${String(count)}`);
        }
      });
    });
}
