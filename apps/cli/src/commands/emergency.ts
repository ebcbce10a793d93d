import { Option, type Command } from 'commander';
import { z } from 'zod';
import { nameForUnregistered } from '#rotation';
import { previewSchema, type Family, type Preview } from '../api.js';
import { defineCommand, FAMILY_ARGUMENT } from '../define-command.js';
import { CliFailure, EndedOtherwise, InterruptedError, UsageError } from '../failures.js';
import { declareForEach } from '../emergencies.js';
import { findFamily, rotationAfter } from '../find.js';
import { showAndFollow } from '../follow.js';
import { previewPage } from '../rotation-text.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { instantArgument } from '../words.js';
import { TRIGGERS } from './rotate.js';

interface EmergencyOptions extends CommonOptions {
  readonly compromised?: readonly string[];
  readonly all?: boolean;
  readonly discoveredAt?: string;
  readonly exposedFrom?: string;
  readonly incident?: string;
  readonly contain: boolean;
  readonly reason?: string;
  readonly trigger: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly wait?: boolean;
  readonly path?: string;
  readonly environment?: string;
  readonly team?: string;
  readonly backEnd?: string;
  readonly knew?: string;
  readonly unlessDeclared?: boolean;
}

export function registerEmergency(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'emergency',
    summary: 'Rotate a compromised secret at once: contain, replace, revoke',
    about:
      'Shows who breaks, asks, then acts. Needs no approval before: that, and a post-incident review, are owed afterwards.\nSupersedes a planned rotation of the family. Without a terminal it never asks and needs --yes.\n\nWith --team, --back-end or --knew (and --environment to narrow it) it takes every family that fits, one emergency each.\nThere, what was in use at the discovery is taken; a family whose emergency answers the incident already is skipped.\nWith --path it takes a secret nobody registered: it is written down, and people attest each step.',
    examples: [
      'keyturn emergency production/session-jwt --dry-run',
      'keyturn emergency production/session-jwt --compromised k1 --discovered-at "20m ago" --incident INC-2041',
      'keyturn emergency production/session-jwt --all --reason "key found in a public repository" --yes',
      'keyturn emergency --team Payments --environment production --dry-run',
      'keyturn emergency --path /etc/app/stripe.key --environment production --incident INC-2041 --yes',
    ],
    changes: true,
  })
    .argument('[family]', FAMILY_ARGUMENT)
    .option('--path <path>', 'a secret that is not registered: where it lies')
    .option('--environment <environment>', 'of the path; or only the families of this one')
    .option('--team <team>', 'every family of this team')
    .option('--back-end <instance>', 'every family of this back end: whatever issuer stands behind it')
    .option(
      '--knew <subject>',
      'every family this person is or was custodian of: a subject id, or a name only one has',
    )
    .option('--compromised <versions...>', 'the versions that leaked')
    .option('--all', 'every version that is accepted now; so it is, too, where none is named')
    .option('--discovered-at <instant>', 'T+ counts from it: RFC 3339, or "20m ago" (default: now)')
    .option('--exposed-from <instant>', 'since when it may have been known to others')
    .option('--incident <reference>', 'where the incident is worked on')
    .option(
      '--unless-declared',
      'not where an emergency answers this incident already, and never over what was made since',
    )
    .option('--no-contain', 'do not take the compromised versions out before the new one is there')
    .option('--reason <text>', 'what happened, for the record')
    .addOption(
      new Option('--trigger <trigger>', 'what made it necessary').choices(TRIGGERS).default('compromise'),
    )
    .option('--dry-run', 'show what it would do and who breaks, start nothing')
    .option('--yes', 'do not ask')
    .option('--wait', 'until it ends or needs a person; exit code 4 where it did not complete')
    .action(async (text: string | undefined, options: EmergencyOptions) => {
      const wish = wishOf(options, around.clock.now());
      requireOneMeaning(text, options);
      const asks = options.yes !== true && options.dryRun !== true;
      if (asks && (options.json === true || !around.input.isTTY || !around.err.isTTY)) {
        throw new UsageError(
          'nobody can be asked here: add --yes to declare the emergency, or --dry-run to look',
        );
      }
      const session = new Session(around, options);
      if (text === undefined) {
        await declareWithout(session, options, wish, asks);
        return;
      }
      const family = await findFamily(session, text);
      const path = `/families/${family.id}/rotations`;
      const preview = await previewOf(session, path, wish, options);
      if (preview !== undefined) {
        if (options.dryRun === true) {
          session.answer(preview, () => {
            show(session, family, preview);
          });
          return;
        }
        show(session, family, preview);
      }
      if (asks) await ask(around, family.qualifiedName);
      const answer = await session.client.post(path, z.unknown(), { body: wish });
      session.line();
      await showAndFollow(session, await rotationAfter(session, answer, ''), options.wait === true);
    });
}

/** Either a family, or a path, or who is affected: what is named beside a family must not look as if it counted. */
function requireOneMeaning(family: string | undefined, options: EmergencyOptions): void {
  const { path, environment, team, backEnd, knew } = options;
  const given = (named: Readonly<Record<string, string | undefined>>): readonly string[] =>
    Object.entries(named).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  const selects = given({ '--team': team, '--back-end': backEnd, '--knew': knew });
  const beside = [...given({ '--path': path, '--environment': environment }), ...selects];
  if (family !== undefined && beside.length > 0) {
    throw new UsageError(
      `either the family ${family}, or ${beside.join(', ')}: with a family named, nothing else chooses`,
    );
  }
  const affected = path === undefined ? selects : selects.filter((name) => name !== '--team');
  if (family === undefined && (path === undefined) === (affected.length === 0)) {
    throw new UsageError('name a family, or --path, or who is affected: --team, --back-end or --knew');
  }
  if (path !== undefined && environment === undefined)
    throw new UsageError('--path needs --environment: who may act depends on it');
}

/** No family was named: a path nobody registered, or every family that fits. */
async function declareWithout(
  session: Session,
  options: EmergencyOptions,
  wish: Readonly<Record<string, unknown>>,
  asks: boolean,
): Promise<void> {
  const { path, environment, team, backEnd, knew } = options;
  if (options.compromised !== undefined) {
    throw new UsageError('--compromised names versions of one family: name that family');
  }
  if (path === undefined) {
    await declareForEach(session, { environment, team, backEnd, knew }, wish, {
      dryRun: options.dryRun === true,
      asks,
    });
    return;
  }
  if (options.dryRun === true) {
    const family = `${environment}/${nameForUnregistered(path)}`;
    const steps = ['generate', 'accept', 'emit', 'revoke', 'verify'];
    const owed = ['approval in retrospect', 'post-incident review', 'the rest of the registration'];
    session.answer({ path, environment, registered: false, family, steps, owed }, () => {
      const row = (name: string, text: string): void => {
        session.line(`  ${session.paint(name.padEnd(11), 'dim')} ${text}`);
      };
      session.line(`${session.paint(family, 'bold')}  would be registered, nothing is`);
      row('found at', path);
      row('contain', 'by people: it is in no back end Keyturn knows');
      row('steps', `${steps.join(' → ')}; people attest each`);
      row('owed', owed.join(', '));
      row('who breaks', 'nobody knows: no consumer of it is registered');
    });
    return;
  }
  if (asks) await ask(session.around, path);
  const { reason, trigger } = wish;
  const { discoveredAt, exposedFrom, incident } = Object(wish['emergency']) as Record<string, unknown>;
  const said = { discoveredAt, exposedFrom, incident };
  const body = {
    path,
    environment,
    ...(team === undefined ? {} : { team }),
    reason,
    trigger,
    ...Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)),
  };
  const answer = await session.client.post('/emergencies', z.unknown(), { body });
  await showAndFollow(session, await rotationAfter(session, answer, ''), options.wait === true);
}

/** An emergency always has a next move: with --yes, a preview that cannot be had holds nothing up. */
async function previewOf(
  session: Session,
  path: string,
  wish: Readonly<Record<string, unknown>>,
  options: EmergencyOptions,
): Promise<Preview | undefined> {
  if (options.json === true && options.dryRun !== true) return undefined;
  try {
    return await session.client.post(path, previewSchema, {
      body: wish,
      query: { plan: 'true' },
      // Never the run's own key: a preview must not answer for the rotation.
      idempotencyKey: session.around.ids.random(),
    });
  } catch (error) {
    const goesOn =
      options.yes === true &&
      options.dryRun !== true &&
      error instanceof CliFailure &&
      !(error instanceof InterruptedError);
    if (!goesOn) throw error;
    session.aside(`Who breaks cannot be shown: ${error.message}. Declaring nevertheless.`);
    return undefined;
  }
}

function show(session: Session, family: Family, preview: Preview): void {
  const { emergency } = preview.request;
  const { paint } = session;
  session.line(`${paint(family.qualifiedName, 'bold')}  ${paint('EMERGENCY', 'bold', 'red')}`);
  if (emergency !== undefined) {
    session.line(
      `  ${paint('compromised', 'dim')} ${paint(emergency.compromisedVersions.join(', '), 'red')}`,
    );
    session.line(
      `  ${paint('contain', 'dim')}     ${emergency.contain ? 'at once, before the new version is there' : 'not before the new version is there'}`,
    );
  }
  session.lines(previewPage(session, preview));
}

async function ask(around: Surroundings, what: string): Promise<void> {
  const answer = await around.input.ask(
    `\nDeclare the emergency for ${what} now? [y/N] `,
    around.interrupted,
  );
  if (!/^y(es)?$/i.test(answer.trim())) throw new EndedOtherwise('Nothing was started.');
}

function wishOf(options: EmergencyOptions, now: number): Readonly<Record<string, unknown>> {
  const { compromised, all, discoveredAt, exposedFrom, incident, contain, trigger, unlessDeclared } = options;
  if (compromised !== undefined && all === true) {
    throw new UsageError('either --compromised with the versions, or --all');
  }
  if (all === true && unlessDeclared === true) {
    throw new UsageError('either --all, whatever is accepted now, or --unless-declared');
  }
  const because =
    incident === undefined ? 'declared from the command line, no reason given' : `incident ${incident}`;
  return {
    strategy: 'emergency',
    trigger,
    reason: options.reason ?? because,
    emergency: {
      ...(compromised === undefined ? {} : { compromisedVersions: compromised }),
      ...(discoveredAt === undefined ? {} : { discoveredAt: instantArgument(discoveredAt, now) }),
      ...(exposedFrom === undefined ? {} : { exposedFrom: instantArgument(exposedFrom, now) }),
      ...(incident === undefined ? {} : { incident }),
      contain,
      ...(unlessDeclared === true ? { unlessDeclared } : {}),
    },
  };
}
