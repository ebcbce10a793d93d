import type { Command } from 'commander';
import {
  containmentSchema,
  destructionSchema,
  dueSchema,
  familySchema,
  holdsSchema,
  policySchema,
  rotationSchema,
} from '../api.js';
import { defineCommand, ROTATION_ARGUMENT } from '../define-command.js';
import { driftLines } from '../drift-text.js';
import { findRotation } from '../find.js';
import { holdLines } from './holds-list.js';
import { LOOK_EVERY_MS } from '../follow.js';
import {
  containmentNext,
  containmentsLines,
  destructionNext,
  destructionsLines,
  owedLines,
  owedNext,
  policyLines,
  policyNext,
  SHOWN,
} from '../owed-text.js';
import { rotationColumns, rotationPage } from '../rotation-text.js';
import { exampleLines, Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { day, shortId } from '../words.js';

interface StatusOptions extends CommonOptions {
  readonly watch?: boolean;
}

interface Look {
  readonly value: unknown;
  readonly page: readonly string[];
}

/** Cursor home, then everything below is blank: no flicker. */
const REDRAW = '\u001B[H\u001B[J';

export function registerStatus(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'status',
    summary: 'All rotations under way, what waits for a person or is owed by one, and how much is overdue',
    about:
      'With a rotation, that one in full. Whatever waits for a person is shown with the exact next command.',
    examples: ['keyturn status', 'keyturn status --watch', 'keyturn status production/session-jwt'],
    json: 'answer with JSON only; with --watch one line a look',
  })
    .argument('[rotation]', ROTATION_ARGUMENT)
    .option('--watch', 'look again until Ctrl-C')
    .action(async (text: string | undefined, options: StatusOptions) => {
      const session = new Session(around, options);
      const look = () => (text === undefined ? lookAtAll(session) : lookAtOne(session, text));
      if (options.watch !== true) {
        const { value, page } = await look();
        session.answer(value, () => {
          session.lines(page);
        });
        return;
      }
      let before = '';
      for (;;) {
        const { value, page } = await look();
        const shown = page.join('\n');
        if (session.json) session.jsonLine(value);
        else if (around.out.isTTY) {
          const at = day(new Date(session.now()).toISOString());
          session.line(
            `${REDRAW}${shown}\n\n${session.paint(`${at}, looks every ${LOOK_EVERY_MS / 1_000} s`, 'dim')}`,
          );
        } else if (shown !== before) session.line(`${shown}\n`);
        before = shown;
        await around.sleep(LOOK_EVERY_MS, around.interrupted);
      }
    });
}

async function lookAtOne(session: Session, text: string): Promise<Look> {
  const rotation = await findRotation(session, text, { orLast: true });
  return { value: rotation, page: rotationPage(session, rotation) };
}

async function lookAtAll(session: Session): Promise<Look> {
  const { client, paint } = session;
  const [open, overdue, holds, owing, contained, policies, destroying, drifting] = await Promise.all([
    client.all('/rotations', rotationSchema, { state: 'open' }),
    client.all('/schedule/overdue', dueSchema),
    client.get('/holds', holdsSchema),
    client.all('/schedule/owed', dueSchema),
    client.all('/containments', containmentSchema, { state: 'open' }),
    client.all('/policies', policySchema),
    client.all('/destructions', destructionSchema, { state: 'open' }),
    client.all('/families', familySchema, { drift: 'open' }),
  ]);
  const owed = owing.items.map((item) => ({ ...item, next: owedNext(item) }));
  const containments = contained.items.map((item) => ({ ...item, next: containmentNext(item) }));
  const destructions = destroying.items.map((item) => ({ ...item, next: destructionNext(item) }));
  const waitingPolicies = policies.items
    .filter(({ status }) => status === 'waits for approval')
    .map((item) => ({ ...item, next: policyNext(item) }));
  const named = [...containments.slice(0, SHOWN), ...destructions.slice(0, SHOWN)];
  const names = session.json ? undefined : await namesOf(session, named);
  const nameOf = (id: string): string => names?.get(id) ?? id;
  const { items } = open;
  const waiting = items.filter((rotation) => rotation.next.length > 0);
  const late = overdue.items.filter(({ status }) => status === 'overdue').length;
  // Never observed, never rotated, no policy: nobody can call these on time.
  const untold = overdue.items.length - late;
  return {
    value: {
      rotations: items,
      overdue: late,
      notOnTime: untold,
      owed,
      containments,
      destructions,
      policiesWaiting: waitingPolicies,
      drift: drifting.items.map(({ id, qualifiedName, drift }) => ({ family: { id, qualifiedName }, drift })),
      holds,
      treeSize: open.treeSize ?? overdue.treeSize,
    },
    page: [
      ...(holds.open.length + holds.freezes.length > 0 ? [...holdLines(session, holds), ''] : []),
      ...(items.length === 0
        ? ['No rotation is under way.']
        : session.tableLines(items, rotationColumns(session.now()))),
      ...(waiting.length === 0 ? [] : ['', paint('Waits for a person', 'bold')]),
      ...waiting.flatMap((rotation) => [
        `  ${rotation.family.qualifiedName} ${paint(shortId(rotation.id), 'dim')}${
          rotation.suspended === null ? '' : `  ${paint(rotation.suspended.reason, 'yellow')}`
        }`,
        ...rotation.next.map((command) => `    ${paint(command, 'cyan')}`),
      ]),
      ...policyLines(session, waitingPolicies),
      ...(drifting.items.length === 0
        ? []
        : ['', paint('Drift: a back end is not as the record has it', 'bold')]),
      ...drifting.items.slice(0, SHOWN).flatMap((family) => driftLines(session, family)),
      ...(drifting.items.length > SHOWN
        ? [`  and ${drifting.items.length - SHOWN} more: ${paint('keyturn drift show', 'cyan')}`]
        : []),
      ...containmentsLines(session, containments, nameOf),
      ...destructionsLines(session, destructions, nameOf),
      ...owedLines(session, owed),
      ...exampleLines(items),
      '',
      late === 0
        ? 'Nothing is overdue among the families known here.'
        : paint(`${late} overdue: keyturn overdue`, 'red'),
      ...(untold === 0
        ? []
        : [paint(`${untold} of which nobody can say that they are on time: keyturn overdue`, 'yellow')]),
    ],
  };
}

/** Containments and destructions know their families by id only. */
async function namesOf(
  { client }: Session,
  processes: readonly { readonly family: string }[],
): Promise<ReadonlyMap<string, string>> {
  const ids = [...new Set(processes.map(({ family }) => family))];
  return new Map(
    await Promise.all(
      ids.map(async (id) => [id, (await client.get(`/families/${id}`, familySchema)).qualifiedName] as const),
    ),
  );
}
