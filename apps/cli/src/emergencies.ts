import { shellWord } from '#rotation';
import { familySchema, previewSchema, rotationSchema, type Family, type Rotation } from './api.js';
import { CliFailure, EndedOtherwise, RefusedError } from './failures.js';
import { findPerson } from './find-person.js';
import { progressBar } from './progress-bar.js';
import type { Session } from './session.js';

/** Who is affected; every part that is named must hold. */
export interface Selector {
  readonly environment?: string | undefined;
  readonly team?: string | undefined;
  readonly backEnd?: string | undefined;
  readonly knew?: string | undefined;
}

interface Affected {
  readonly family: Family;
  readonly compromised: readonly string[];
  readonly breaks: readonly string[];
  readonly supersedes: string | null;
  /** The rotation of an emergency that answers this incident: nothing more is declared. */
  readonly already: string | null;
  /** Why nothing can be said of it. */
  readonly unclear: string | null;
}

interface Declared {
  readonly family: string;
  readonly rotation: string | null;
  /** That rotation was there before. */
  readonly already: boolean;
  readonly error: string | null;
  /** Declares this one family. */
  readonly command: string | null;
}

/** At once so many: enough to be quick, few enough for the service to answer others. */
const AT_ONCE = 4;

/** One emergency for every family that fits: what it would do is shown first, all of it. */
export async function declareForEach(
  session: Session,
  selector: Selector,
  wanted: Readonly<Record<string, unknown>>,
  { dryRun, asks }: { readonly dryRun: boolean; readonly asks: boolean },
): Promise<void> {
  // A repeat, and a second person, declare what is missing and nothing again.
  const wish = { ...wanted, emergency: { ...Object(wanted['emergency']), unlessDeclared: true } };
  const families = await affectedBy(session, selector);
  if (families.length === 0) throw new RefusedError('family.not-found', 'no registered family fits this');
  const looking = progressBar(session, 'families looked at');
  const affected = await inTurn(
    families,
    (family) => preview(session, family, wish),
    looking.at.bind(looking),
  );
  looking.stop();
  if (dryRun || !session.json) show(session, affected, dryRun);
  if (dryRun) return;
  const missing = affected.filter(({ already }) => already === null).length;
  if (asks && missing > 0) {
    const answer = await session.around.input.ask(
      `\nDeclare ${missing === 1 ? 'the emergency' : `${missing} emergencies`} now? [y/N] `,
      session.around.interrupted,
    );
    if (!/^y(es)?$/i.test(answer.trim())) throw new EndedOtherwise('Nothing was started.');
  }
  const declaring = progressBar(session, 'emergencies declared');
  const results = await inTurn(
    affected,
    ({ family, already }) =>
      already === null
        ? declare(session, family, wish, asks)
        : Promise.resolve(declaredBefore(family.qualifiedName, already)),
    declaring.at.bind(declaring),
  );
  declaring.stop();
  const failed = results.filter((result) => result.error !== null);
  const before = results.filter((result) => result.already);
  const declared = results.length - failed.length - before.length;
  session.answer({ declared, already: before.length, failed: failed.length, results }, () => {
    for (const { family, rotation, already } of results) {
      if (rotation !== null) {
        session.line(`${family}  ${already ? 'already declared' : 'declared'}: rotation ${rotation}`);
      }
    }
    for (const { family, error, command } of failed) {
      session.line(session.paint(`${family}  ${inWords(error ?? '')}`, 'red'));
      if (command !== null) session.line(`  ${command}`);
    }
    session.line(
      `${declared} of ${results.length} emergencies are declared${before.length === 0 ? '' : `, ${before.length} were before`}.`,
    );
  });
  if (failed.length > 0) {
    throw new EndedOtherwise(
      `${failed.length} could not be declared: ${failed.map(({ family }) => family).join(', ')}. What is declared stays so; declare each of these by its own command above, once what it says is mended.`,
    );
  }
}

async function affectedBy(session: Session, selector: Selector): Promise<readonly Family[]> {
  const { environment, team, backEnd } = selector;
  const knew = selector.knew === undefined ? undefined : await findPerson(session, selector.knew);
  const { items } = await session.client.all('/families', familySchema, {
    ...(environment === undefined ? {} : { environment }),
    ...(team === undefined ? {} : { team }),
  });
  return items.filter(
    (family) =>
      (backEnd === undefined || family.backEnd?.instance === backEnd) &&
      (knew === undefined || (family.custodians ?? []).some((custodian) => custodian.subject === knew)),
  );
}

async function preview(
  session: Session,
  family: Family,
  wish: Readonly<Record<string, unknown>>,
): Promise<Affected> {
  try {
    const seen = await session.client.post(`/families/${family.id}/rotations`, previewSchema, {
      body: wish,
      query: { plan: 'true' },
      idempotencyKey: session.around.ids.random(),
    });
    return {
      family,
      compromised: seen.request.emergency?.compromisedVersions ?? [],
      breaks: seen.whoBreaks,
      supersedes: seen.supersedes ?? null,
      already: null,
      unclear: null,
    };
  } catch (error) {
    // What cannot be shown of one family does not hide the others, and holds nothing up.
    if (!(error instanceof CliFailure)) throw error;
    const already = answeredBy(error);
    const unclear = already === null ? error.message : null;
    return { family, compromised: [], breaks: [], supersedes: null, already, unclear };
  }
}

/** The rotation that answers the incident, where it is refused for that. */
function answeredBy({ problem }: CliFailure): string | null {
  const rotation = problem.code === 'emergency.already-declared' ? problem.details?.['rotation'] : undefined;
  return typeof rotation === 'string' ? rotation : null;
}

function declaredBefore(family: string, rotation: string): Declared {
  return { family, rotation, already: true, error: null, command: null };
}

async function declare(
  session: Session,
  family: Family,
  wish: Readonly<Record<string, unknown>>,
  asks: boolean,
): Promise<Declared> {
  const { qualifiedName } = family;
  try {
    const answer: Rotation = await session.client.post(`/families/${family.id}/rotations`, rotationSchema, {
      body: wish,
    });
    return { family: qualifiedName, rotation: answer.id, already: false, error: null, command: null };
  } catch (error) {
    if (!(error instanceof CliFailure)) throw error;
    const already = answeredBy(error);
    if (already !== null) return declaredBefore(qualifiedName, already);
    const more = [
      ...(error.problem.code === 'emergency.no-version' ? ['--compromised VERSION'] : []),
      ...(asks ? [] : ['--yes']),
    ];
    const command = ownCommand(qualifiedName, wish, more);
    return { family: qualifiedName, rotation: null, already: false, error: error.message, command };
  }
}

/** The same emergency for one family; repeated, it declares nothing twice. */
function ownCommand(
  family: string,
  wish: Readonly<Record<string, unknown>>,
  more: readonly string[],
): string {
  const emergency = Object(wish['emergency']) as Readonly<Record<string, unknown>>;
  const said: readonly (readonly [string, unknown])[] = [
    ['--reason', wish['reason']],
    ['--trigger', wish['trigger'] === 'compromise' ? undefined : wish['trigger']],
    ['--incident', emergency['incident']],
    ['--discovered-at', emergency['discoveredAt']],
    ['--exposed-from', emergency['exposedFrom']],
  ];
  return [
    `keyturn emergency ${shellWord(family)} --unless-declared`,
    ...said.flatMap(([option, value]) =>
      typeof value === 'string' ? [`${option} ${shellWord(value)}`] : [],
    ),
    ...(emergency['contain'] === false ? ['--no-contain'] : []),
    ...more,
  ].join(' ');
}

function show(session: Session, affected: readonly Affected[], isAnswer: boolean): void {
  const lines = (): void => {
    session.line(
      session.paint(
        `EMERGENCY for ${affected.length === 1 ? 'one family' : `${affected.length} families`}`,
        'bold',
        'red',
      ),
    );
    session.table(affected, [
      { title: 'family', cell: (each) => each.family.qualifiedName },
      { title: 'compromised', cell: (each) => each.compromised.join(', ') || '–' },
      {
        title: 'who breaks',
        cell: (each) =>
          each.already !== null ? '–' : each.unclear === null ? consumersOf(each.breaks) : 'not known',
      },
      { title: 'supersedes', cell: (each) => each.supersedes?.slice(0, 8) ?? '' },
    ]);
    for (const { family, breaks, already, unclear } of affected) {
      if (already !== null) session.line(`  ${family.qualifiedName}: already declared: rotation ${already}`);
      if (unclear !== null) session.line(`  ${family.qualifiedName}: cannot be shown: ${inWords(unclear)}`);
      for (const line of breaks) session.line(`  ${family.qualifiedName}: ${line}`);
    }
  };
  if (!isAnswer) {
    lines();
    return;
  }
  session.answer(
    {
      families: affected.map(({ family, ...rest }) => ({ family: family.qualifiedName, ...rest })),
    },
    lines,
  );
}

/** Each is said for every way it breaks: as emitter, as verifier. */
function consumersOf(breaks: readonly string[]): string {
  const count = new Set(breaks.map((line) => line.slice(0, Math.max(0, line.indexOf(': '))))).size;
  return count === 1 ? '1 consumer' : `${count} consumers`;
}

/** What the service calls a field, as this command line does. */
function inWords(text: string): string {
  return text.replaceAll('emergency.compromisedVersions', 'keyturn emergency FAMILY --compromised');
}

/** In order of the list, a few at once. */
async function inTurn<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
  progress: (done: number, total: number) => void,
): Promise<readonly Result[]> {
  const results = new Map<number, Result>();
  let next = 0;
  const hand = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) {
      const item = items[index];
      if (item === undefined) return;
      results.set(index, await work(item));
      progress(results.size, items.length);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, hand));
  return [...results].sort(([left], [right]) => left - right).map(([, result]) => result);
}
