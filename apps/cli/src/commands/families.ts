import type { Command } from 'commander';
import { shellWord } from '#rotation';
import { familySchema, type Family } from '../api.js';
import { defineCommand, FAMILY_ARGUMENT } from '../define-command.js';
import { custodianText, deviationText } from '../family-text.js';
import { findFamily } from '../find.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { day, lengthOf, shortId } from '../words.js';

interface FamiliesOptions extends CommonOptions {
  readonly environment?: string;
  readonly team?: string;
  readonly name?: string;
}

export function registerFamilies(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'families',
    summary: 'The secret families, or one in full: versions, consumers, owner',
    examples: ['keyturn families --environment production', 'keyturn families production/session-jwt'],
  })
    .argument('[family]', FAMILY_ARGUMENT)
    .option('--environment <name>', 'only of this environment')
    .option('--team <name>', 'only of this team')
    .option('--name <name>', 'only of this name')
    .action(async (text: string | undefined, options: FamiliesOptions) => {
      const session = new Session(around, options);
      if (text !== undefined) {
        const family = await findFamily(session, text);
        session.answer(family, () => {
          page(session, family);
        });
        return;
      }
      const { environment, team, name } = options;
      const { items, treeSize } = await session.client.all('/families', familySchema, {
        environment,
        team,
        name,
      });
      session.answer({ items, treeSize }, () => {
        if (items.length === 0) {
          session.line(
            'No secret family is registered here: declare them with keyturn apply -f families.yaml',
          );
          return;
        }
        session.table(items, [
          { title: 'ID', cell: (family) => shortId(family.id), style: () => ['dim'] },
          { title: 'FAMILY', cell: (family) => family.qualifiedName, shrinks: true },
          { title: 'KIND', cell: (family) => family.kind },
          { title: 'MODE', cell: (family) => family.mode },
          { title: 'EMITS WITH', cell: (family) => family.current ?? 'not recorded', shrinks: true },
          { title: 'TEAM', cell: (family) => family.team, shrinks: true },
          { title: 'OWNER', cell: (family) => family.owner.role, shrinks: true },
          {
            title: 'ROTATION',
            cell: (family) => (family.runningRotation === null ? '' : shortId(family.runningRotation)),
            style: () => ['cyan'],
          },
        ]);
        session.examples(items);
      });
    });
}

function page(session: Session, family: Family): void {
  const { paint } = session;
  const row = (name: string, text: string): void => {
    session.line(`  ${paint(name.padEnd(11), 'dim')} ${text}`);
  };
  const { role, deputy, escalation } = family.owner;
  session.line(
    `${paint(family.qualifiedName, 'bold')}  ${family.id}${family.illustrative ? '  EXAMPLE DATA' : ''}`,
  );
  if (family.description !== null) row('', family.description);
  row('kind', `${family.kind}, protects ${family.protects}, ${family.mode}, overlap ${family.overlap}`);
  row(
    'owner',
    [
      role,
      ...(deputy === undefined ? [] : [`deputy ${deputy}`]),
      ...(escalation === undefined ? [] : [`escalation ${escalation}`]),
    ].join(', '),
  );
  row('team', family.team);
  row('back end', family.backEnd === null ? 'none' : `${family.backEnd.instance}: ${family.backEnd.object}`);
  row('watched', family.coverageStart === null ? 'not recorded' : `since ${day(family.coverageStart)}`);
  if (family.runningRotation !== null) row('rotation', `keyturn status ${family.runningRotation}`);
  const owed = family.registrationOwed ?? null;
  if (owed !== null) row('owed', `by ${day(owed.due)}, registered in haste: ${owed.missing.join(', ')}`);
  if (family.drift !== null && family.drift !== undefined)
    row(
      'drift',
      `${family.drift.differences.join('; ')}: keyturn drift show ${shellWord(family.qualifiedName)}`,
    );
  for (const deviation of family.deviations ?? []) row('deviation', deviationText(deviation));
  for (const custodian of family.custodians ?? []) row('custodian', custodianText(custodian));
  session.line();
  if (family.versions.length === 0) session.line('  No version was ever recorded.');
  else {
    session.table(family.versions, [
      { title: 'VERSION', cell: (version) => version.versionId },
      { title: 'ALGORITHM', cell: (version) => version.algorithm ?? 'not recorded' },
      { title: 'CREATED', cell: (version) => day(version.createdAt) },
      { title: 'ACCEPTED', cell: (version) => (version.accepted ? 'yes' : 'no') },
      {
        title: 'EMITS',
        cell: (version) =>
          version.emittingShare === undefined ? 'not recorded' : `${version.emittingShare} %`,
        align: 'right',
      },
      {
        title: '',
        cell: (version) =>
          [
            ...(version.contained === true ? ['contained: denied'] : []),
            ...(version.compromised ? ['compromised'] : []),
            ...(version.destroyed ? ['destroyed'] : []),
          ].join(', '),
        style: () => ['red'],
      },
    ]);
  }
  session.line();
  if (family.consumers.length === 0) session.line('  No known consumer: a planned rotation does not start.');
  else {
    session.table(family.consumers, [
      { title: 'CONSUMER', cell: (consumer) => consumer.name, shrinks: true },
      { title: 'ROLE', cell: (consumer) => consumer.roles.join(', ') },
      {
        title: 'CACHES',
        cell: (consumer) =>
          consumer.neverRefreshes
            ? 'for ever'
            : consumer.cacheTtl === null
              ? 'not recorded'
              : lengthOf(consumer.cacheTtl),
      },
      { title: 'INSTANCES', cell: (consumer) => String(consumer.instances), align: 'right' },
      { title: '', cell: (consumer) => (consumer.thirdParty ? 'third party' : '') },
    ]);
  }
}
