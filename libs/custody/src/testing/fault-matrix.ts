import { isDeepStrictEqual } from 'node:util';
import { SEED } from '#platform/testing';
import {
  BackendError,
  EFFECTS,
  type Algorithm,
  type Attempt,
  type Effect,
  type KeyBackend,
} from '../key-backend.js';
import type { ObjectDocument } from '../vault/object-document.js';
import type { EngineState } from '../vault/vault-engine.js';
import type { ChaosProxy, OwnAnswer, Passed, Trouble } from './chaos-proxy.js';
import { Attempts } from './key-backend.contract.js';
import type { Operated } from './openbao.js';
import type { VaultDriver } from './vault-driver.js';
import type { VaultHarness } from './vault-harness.js';

/** What every engine is asked when something goes wrong between Keyturn and its server. A new engine joins by one {@link FaultedEngine}. */

/** The object as the server itself has it, read past Keyturn and past the proxy. */
export interface EngineFacts {
  /** How many versions were ever made. */
  readonly made: number;
  /** What it refuses and what it has deleted: must be what a run without a fault leaves. */
  readonly limits: Readonly<Record<string, unknown>>;
}

export interface FaultedEngine<State extends EngineState, Wanted> {
  readonly name: string;
  /** What can go wrong with it beside {@link CLASSES}. */
  readonly classes?: readonly FaultClass[];
  /** Makes set-ups, straight on the server and as root; nothing goes wrong there. Whoever has the engine closes it. */
  readonly setUp: VaultHarness<State, Wanted>;
  /** What an object needs before there is one: made for the next set-up. */
  readonly ready?: () => Promise<void>;
  /** On the proxy, as the driver. `frozen`: an attempt will thaw there, so that what it holds must be dead before another one acts. */
  readonly open: (way?: { readonly frozen: boolean }) => VaultHarness<State, Wanted>;
  /** With an engine that finds nothing again and writes no surplus down: what a control runs on. */
  readonly openBlind: () => VaultHarness<State, Wanted>;
  /** Milliseconds after which it goes on where it does not know how an effect ended; absent: at once. */
  readonly settlesMs?: { readonly frozen: number; readonly else: number };
  readonly facts: (object: string) => Promise<EngineFacts>;
  /** Where the object's document lies: `MOUNT/data/FOLDER/` before its name. */
  readonly documents: string;
  /** A request that changes the object in the engine. */
  readonly changes: (request: Passed, object: string) => boolean;
}

/** Everything a case needs of the server and of what stands before it. */
export interface Ground {
  readonly bao: Operated;
  readonly proxy: ChaosProxy;
  readonly driver: VaultDriver;
  readonly dead: URL;
}

type Ask = (backend: KeyBackend, attempt: Attempt, algorithm: Algorithm) => Promise<unknown>;

export interface Row {
  readonly name: string;
  readonly effect: Effect;
  readonly before: readonly Ask[];
  readonly ask: Ask;
}

const OLD = 'old';
const NEXT = 'next';
const MAX_AGE = 300;
/** Of the containment that one row lifts. */
const CONTAINMENT = 'containment/contain';

const generate =
  (versionId: string): Ask =>
  (backend, attempt, algorithm) =>
    backend.generate(attempt, { versionId, algorithm });
const publish =
  (...versions: string[]): Ask =>
  (backend, attempt) =>
    backend.publish(attempt, { versions, maxAgeSeconds: MAX_AGE });
const switchTo =
  (to: string): Ask =>
  (backend, attempt) =>
    backend.switchEmission(attempt, { to });
const cutTo =
  (to: string): Ask =>
  (backend, attempt) =>
    backend.cutOver(attempt, { to, maxAgeSeconds: MAX_AGE });
const withdraw =
  (...versions: string[]): Ask =>
  (backend, attempt) =>
    backend.withdraw(attempt, { versions });
const reAcceptOld: Ask = (backend, attempt) => backend.reAccept(attempt, { versions: [OLD] });
const destroy =
  (...versions: string[]): Ask =>
  (backend, attempt) =>
    backend.destroy(attempt, { versions });
const contain =
  (...versions: string[]): Ask =>
  (backend, attempt) =>
    backend.contain(attempt, { versions });
const contained =
  (...versions: string[]): Ask =>
  (backend, attempt) =>
    backend.contain({ ...attempt, key: CONTAINMENT }, { versions });
const lift =
  (...versions: string[]): Ask =>
  (backend, attempt) =>
    backend.lift(attempt, { versions, containedBy: CONTAINMENT });

const emitting = [generate(OLD), publish(OLD), switchTo(OLD)];
const turned = [...emitting, generate(NEXT), publish(NEXT), switchTo(NEXT)];

/** Each effect of the port, on the cheapest set-up on which its engine has something to do. */
export const ROWS: readonly Row[] = [
  { name: 'generate, the first', effect: 'generate', before: [], ask: generate(OLD) },
  { name: 'generate', effect: 'generate', before: [generate(OLD)], ask: generate(NEXT) },
  {
    name: 'generate, after a destruction',
    effect: 'generate',
    before: [...turned, withdraw(OLD), destroy(OLD)],
    ask: generate('after'),
  },
  { name: 'publish', effect: 'publish', before: [generate(OLD)], ask: publish(OLD) },
  {
    name: 'switch-emission',
    effect: 'switch-emission',
    before: [generate(OLD), publish(OLD)],
    ask: switchTo(OLD),
  },
  { name: 'withdraw', effect: 'withdraw', before: turned, ask: withdraw(OLD) },
  { name: 're-accept', effect: 're-accept', before: [...turned, withdraw(OLD)], ask: reAcceptOld },
  { name: 'cut-over', effect: 'cut-over', before: [...emitting, generate(NEXT)], ask: cutTo(NEXT) },
  { name: 'contain', effect: 'contain', before: turned, ask: contain(OLD) },
  { name: 'lift', effect: 'lift', before: [...turned, contained(OLD)], ask: lift(OLD) },
  { name: 'destroy', effect: 'destroy', before: [...turned, withdraw(OLD)], ask: destroy(OLD) },
];

const replaced = [generate(OLD), cutTo(OLD), generate(NEXT), cutTo(NEXT)];

/** Of a layout with one value, which changes by cut-over alone. */
export const ROWS_OF_ONE_VALUE: readonly Row[] = [
  { name: 'generate, the first', effect: 'generate', before: [], ask: generate(OLD) },
  { name: 'generate', effect: 'generate', before: [generate(OLD), cutTo(OLD)], ask: generate(NEXT) },
  {
    name: 'generate, after a destruction',
    effect: 'generate',
    before: [...replaced, destroy(OLD)],
    ask: generate('after'),
  },
  { name: 'cut-over, the first', effect: 'cut-over', before: [generate(OLD)], ask: cutTo(OLD) },
  {
    name: 'cut-over',
    effect: 'cut-over',
    before: [generate(OLD), cutTo(OLD), generate(NEXT)],
    ask: cutTo(NEXT),
  },
  { name: 'contain', effect: 'contain', before: replaced, ask: contain(NEXT) },
  { name: 'lift', effect: 'lift', before: [...replaced, contained(NEXT)], ask: lift(NEXT) },
  {
    name: 'withdraw, what is contained',
    effect: 'withdraw',
    before: [...replaced, contained(NEXT)],
    ask: withdraw(NEXT),
  },
  { name: 'destroy', effect: 'destroy', before: replaced, ask: destroy(OLD) },
];
export const REFUSED_OF_ONE_VALUE: readonly Row[] = [
  { name: 'publish', effect: 'publish', before: [generate(OLD)], ask: publish(OLD) },
  {
    name: 'switch-emission',
    effect: 'switch-emission',
    before: [generate(OLD), cutTo(OLD), generate(NEXT)],
    ask: switchTo(NEXT),
  },
  { name: 're-accept', effect: 're-accept', before: replaced, ask: reAcceptOld },
];

/** Of a pair: withdrawing is its point of no return, so that only what was never accepted is left for a destruction to turn. */
export const ROWS_OF_A_PAIR: readonly Row[] = [
  ...ROWS.filter(({ effect }) => effect !== 're-accept'),
  {
    name: 'destroy, what was never accepted',
    effect: 'destroy',
    before: [...emitting, generate(NEXT)],
    ask: destroy(NEXT),
  },
];
export const REFUSED_OF_A_PAIR: readonly Row[] = ROWS.filter(({ effect }) => effect === 're-accept');

/** One thing that can go wrong with one request. */
export interface FaultClass {
  readonly name: string;
  readonly trouble: (ground: Ground) => Trouble;
  /** Whoever asked can tell that this request did nothing (or that it did). */
  readonly told: boolean;
  /** After the effect has answered: what an operator does, or time. */
  readonly heal?: (ground: Ground) => Promise<void>;
  /** Done to the server as a whole: no other case runs meanwhile. */
  readonly alone?: true;
  /** It takes seconds: in the check each effect meets it on one engine, each in its turn. */
  readonly dear?: true;
  /** What comes after the request may meet it, too. */
  readonly lasts?: true;
  /** Requests that it can happen to; absent: any. */
  readonly fits?: (request: Asked) => boolean;
  /** Milliseconds after which we give the request up; absent: as ever. */
  readonly withinMs?: number;
  /** It may leave so many changes in the engine that no server shows, so that nobody can write them down. */
  readonly unseen?: number;
}

const LATE_MS = 40;
const SLOW_MS = 150;
const FLOOD_BYTES = 64 * 1024 * 1024;

const answerOf = (status: number, errors: readonly string[], more: Partial<OwnAnswer> = {}): OwnAnswer => ({
  status,
  body: JSON.stringify({ errors }),
  ...more,
});
const redirectTo = (dead: URL, path: string): OwnAnswer => ({
  status: 307,
  headers: { Location: `${dead.origin}${path}` },
});

const upAgain = async ({ bao }: Ground): Promise<void> => {
  await bao.restart();
  await bao.active();
};
const INTERNAL = answerOf(500, ['internal error']);
/** As of a control group (HashiCorp): somebody is to approve it first. Nobody here asks for it. */
const WRAPPED: OwnAnswer = {
  status: 200,
  body: JSON.stringify({
    request_id: '',
    data: null,
    wrap_info: {
      token: 's.x',
      accessor: 'x',
      ttl: 60,
      creation_time: '2026-11-22T05:00:00Z',
      creation_path: 'x',
    },
  }),
};

export const CLASSES: readonly FaultClass[] = [
  { name: 'the answer is lost', told: false, trouble: () => ({ answer: 'cut' }) },
  { name: 'a reset before it is sent', told: false, trouble: () => ({ instead: 'cut' }) },
  { name: 'executed after it was given up', told: false, trouble: () => ({ late: LATE_MS }) },
  { name: 'a slow answer', told: true, trouble: () => ({ before: () => aWhile(SLOW_MS) }) },
  {
    name: 'a delay longer than the limit of time',
    told: false,
    trouble: () => ({ before: () => aWhile(2 * SLOW_MS) }),
    withinMs: SLOW_MS,
  },
  {
    name: '429, a quota',
    told: true,
    trouble: () => ({ instead: answerOf(429, ['request path "x": rate limit quota exceeded']) }),
  },
  {
    name: '429, a stale index',
    told: true,
    trouble: () => ({ instead: answerOf(429, [], { headers: { 'Retry-After': '1' } }) }),
  },
  { name: '412, a stale index', told: true, trouble: () => ({ instead: answerOf(412, []) }) },
  {
    name: '503, the namespace is locked',
    told: true,
    trouble: () => ({
      instead: answerOf(503, [
        'API access to this namespace has been locked by an administrator. To unlock the namespace',
      ]),
    }),
  },
  {
    name: '404, nothing is mounted',
    told: true,
    trouble: () => ({ instead: answerOf(404, ['no handler for route "x". route entry not found.']) }),
  },
  {
    name: '403 of a policy',
    told: true,
    trouble: () => ({ instead: answerOf(403, ['1 error occurred:\n\t* permission denied\n\n']) }),
  },
  { name: 'wrapped, though nobody asked for it', told: true, trouble: () => ({ instead: WRAPPED }) },
  {
    name: 'a false mismatch, after our own first try won',
    told: false,
    trouble: () => ({
      answer: answerOf(400, ['check-and-set parameter did not match the current version']),
    }),
    fits: ({ compares }) => compares,
  },
  {
    name: 'sealed before it',
    told: true,
    trouble: ({ bao }) => ({ before: () => bao.seal() }),
    heal: ({ bao }) => bao.unseal(),
    alone: true,
  },
  {
    name: 'sealed after it',
    told: true,
    trouble: ({ bao }) => ({ after: () => bao.seal() }),
    heal: ({ bao }) => bao.unseal(),
    alone: true,
  },
  {
    name: '307 to a dead node',
    told: false,
    trouble: ({ dead }) => ({ instead: redirectTo(dead, '/v1/x') }),
  },
  {
    name: '307 to a dead node, after it took effect',
    told: false,
    trouble: ({ dead }) => ({ answer: redirectTo(dead, '/v1/x') }),
  },
  { name: '500, and nothing happened', told: false, trouble: () => ({ instead: INTERNAL }) },
  {
    name: '500 after it took effect',
    told: false,
    trouble: () => ({ answer: answerOf(500, ['1 error occurred:\n\t* transaction commit failed\n\n']) }),
  },
  {
    name: '500, and it takes effect later',
    told: false,
    trouble: () => ({ late: LATE_MS, answer: INTERNAL }),
  },
  {
    name: 'its token dies',
    // Of a token for one request nobody can tell whether it is unknown because it was used up.
    told: false,
    trouble: ({ bao }) => ({
      before: async ({ token }) => {
        await bao.api('POST', 'auth/token/revoke', { token });
      },
    }),
    heal: ({ driver }) => driver.renew(),
  },
  {
    name: 'a body without an end',
    told: false,
    trouble: () => ({ answer: { status: 200, bytes: FLOOD_BYTES } }),
  },
  {
    name: 'a body that is no JSON',
    told: false,
    trouble: () => ({ answer: { status: 200, body: '<html><body>Welcome</body></html>' } }),
  },
  {
    name: 'a body that is cut in the middle',
    told: false,
    trouble: () => ({ answer: { status: 200, body: '{"request_id":"x","data":{"ver', cut: true } }),
  },
  {
    name: 'the server killed before it',
    told: false,
    trouble: ({ bao }) => ({ before: () => bao.kill() }),
    heal: upAgain,
    alone: true,
    dear: true,
  },
  {
    name: 'the server killed after it',
    told: false,
    trouble: ({ bao }) => ({ after: () => bao.kill(), answer: 'cut' }),
    heal: upAgain,
    alone: true,
    dear: true,
  },
];

/** One case: the fault meets this request of the effect. */
export interface Case {
  readonly row: Row;
  readonly fault: FaultClass;
  /** From 0, among the requests the effect sends. */
  readonly request: number;
}

/** A request that an effect sends. */
export interface Asked {
  readonly path: string;
  /** It does a part of the effect. */
  readonly carries: boolean;
  /** It is a compare-and-set. */
  readonly compares: boolean;
}

/** What a row leaves without a fault. */
export interface Clean {
  readonly requests: readonly Asked[];
  readonly end: End;
}

interface End {
  readonly engine: EngineFacts;
  /** By version: accepted, emitting share, contained, destroyed. */
  readonly versions: Readonly<Record<string, readonly unknown[]>>;
  readonly served: readonly string[] | undefined;
  /** An effect that is begun there and nobody ends: the next containment would not reach the engine. */
  readonly pending: boolean;
}

type Kept = Pick<ObjectDocument, 'ledger' | 'versions' | 'denied' | 'pending'>;

/** An object with the row's set-up behind it. */
class Subject<State extends EngineState, Wanted> {
  readonly attempts: Attempts;
  readonly key = 'rotation/step';

  private constructor(
    readonly engine: FaultedEngine<State, Wanted>,
    readonly ground: Ground,
    readonly row: Row,
    readonly harness: VaultHarness<State, Wanted>,
    /** Milliseconds, where the engine waits before it goes on. */
    readonly settlesMs: number,
  ) {
    this.attempts = new Attempts(engine.setUp.fresh());
  }

  static async of<State extends EngineState, Wanted>(
    engine: FaultedEngine<State, Wanted>,
    ground: Ground,
    row: Row,
    way: 'frozen' | 'else' = 'else',
  ): Promise<Subject<State, Wanted>> {
    await engine.ready?.();
    const harness = engine.open({ frozen: way === 'frozen' });
    const subject = new Subject(engine, ground, row, harness, engine.settlesMs?.[way] ?? 0);
    for (const ask of row.before) await subject.ask(ask, subject.attempts.next(), engine.setUp.backend);
    // As whoever runs for a while has: it has signed in.
    await harness.backend.observe(subject.object);
    ground.proxy.forget();
    return subject;
  }

  get object(): string {
    return this.attempts.object;
  }

  ask(ask: Ask, attempt: Attempt, backend: KeyBackend = this.harness.backend): Promise<unknown> {
    return ask(backend, attempt, this.harness.algorithm);
  }

  /** A request that does a part of the effect, and not what only prepares it. */
  carries(request: Passed): boolean {
    if (request.method === 'GET') return false;
    if (this.engine.changes(request, this.object)) return true;
    if (!this.isOfDocument(request)) return false;
    const { data }: { data?: Kept } = JSON.parse(request.body);
    return (
      data?.ledger.some(({ key }) => key === this.key) === true ||
      Object.values(data?.denied ?? {}).some((keys) => keys.includes(this.key))
    );
  }

  isOfDocument({ path }: Passed): boolean {
    return path.startsWith(`/v1/${this.engine.documents}`);
  }

  /** Its document as the server has it. */
  async document(): Promise<Kept> {
    const path = `${this.engine.documents}${this.object}`;
    const kept = await this.ground.bao.api<{ data: { data: Kept } }>('GET', path).catch((error: unknown) => {
      if (error instanceof Error && error.message.includes(': 404 ')) return undefined;
      throw error;
    });
    return kept?.data.data ?? { ledger: [], versions: [], denied: {} };
  }

  /** What the server has of the effect: whoever calls it "not executed" must find it unchanged. */
  async traces(): Promise<{ readonly done: boolean }> {
    const { ledger, versions, denied } = await this.document();
    const done = ledger.some(({ key }) => key === this.key);
    const seen = { engine: await this.engine.facts(this.object), versions, denied, done };
    return seen;
  }

  async end(): Promise<End> {
    const { versions } = await this.harness.backend.observe(this.object);
    const { pending } = await this.document();
    return {
      pending: pending !== undefined,
      engine: await this.engine.facts(this.object),
      versions: Object.fromEntries(
        versions.map(({ versionId, accepted, emittingShare, contained, destroyed }) => [
          versionId,
          [accepted, emittingShare, contained, destroyed],
        ]),
      ),
      served: await this.harness.servedKids(this.harness.backend, this.attempts.familyId),
    };
  }

  async close(): Promise<void> {
    await this.harness.close();
  }
}

/** A row without a fault: what it asks of the server, and what it leaves there. */
export async function cleanRun<State extends EngineState, Wanted>(
  engine: FaultedEngine<State, Wanted>,
  ground: Ground,
  row: Row,
): Promise<Clean> {
  const subject = await Subject.of(engine, ground, row);
  try {
    await subject.ask(row.ask, subject.attempts.next({ key: subject.key }));
    const requests = ground.proxy.passed.map((request) => ({
      path: `${request.method} ${request.path}`,
      carries: subject.carries(request),
      compares: request.body.startsWith('{"options":{"cas":'),
    }));
    return { requests, end: await subject.end() };
  } finally {
    await subject.close();
  }
}

/** What an engine refuses by what it declares: how it says so, and whether anything came of it all the same. */
export async function refusedRun<State extends EngineState, Wanted>(
  engine: FaultedEngine<State, Wanted>,
  ground: Ground,
  row: Row,
): Promise<{ readonly outcome: string; readonly changed: boolean }> {
  const subject = await Subject.of(engine, ground, row);
  try {
    const before = await engine.facts(subject.object);
    const outcome = await outcomeOf(subject.ask(row.ask, subject.attempts.next({ key: subject.key })));
    // What the engine had done before is taken into the document all the same.
    const { done } = await subject.traces();
    return { outcome, changed: done || !isDeepStrictEqual(before, await engine.facts(subject.object)) };
  } finally {
    await subject.close();
  }
}

/** How often an effect is tried before the rule counts it as stuck. */
const MOST_TRIES = 5;

export interface Verdict {
  /** Empty: the rule holds. */
  readonly findings: readonly string[];
  /** How the call with the fault in it ended. */
  readonly outcome: string;
}

export interface Judging {
  readonly clean: Clean;
  /** Stands before the real back end: what a control breaks. */
  readonly through?: (backend: KeyBackend) => KeyBackend;
}

/**
 * Runs a case as the saga would: the effect under one key, its error believed as it is told, then observed under a raised fence and
 * performed again by a newer attempt, until it is done. Then the server is asked.
 */
export async function judge<State extends EngineState, Wanted>(
  engine: FaultedEngine<State, Wanted>,
  ground: Ground,
  { row, fault, request }: Case,
  { clean, through = (backend) => backend }: Judging,
): Promise<Verdict> {
  const subject = await Subject.of(engine, ground, row);
  const { proxy } = ground;
  const findings: string[] = [];
  let ill = true;
  const heal = async (): Promise<void> => {
    if (ill) await fault.heal?.(ground);
    ill = false;
  };
  try {
    const backend = through(subject.harness.backend);
    const before = await subject.traces();
    proxy.forget();
    proxy.plan(fault.trouble(ground), undefined, request);
    if (fault.withinMs !== undefined) subject.harness.hurry(request, fault.withinMs);
    const first = await outcomeOf(subject.ask(row.ask, subject.attempts.next({ key: subject.key }), backend));
    const hit = proxy.passed[request];
    if (proxy.outstanding > 0 || hit === undefined) findings.push('the fault met no request');
    await heal();
    await proxy.settled();
    const happened = !isDeepStrictEqual(before, await subject.traces());
    const may =
      happened || fault.lasts === true || (hit !== undefined && subject.carries(hit) && !fault.told);
    if (first === 'unknown' && !may) findings.push('it says unknown of what certainly did nothing');
    if (first !== 'done' && first !== 'unknown' && happened)
      findings.push(`it says ${first} of what has happened`);
    if (first !== 'done') findings.push(...(await finish(subject, backend)));
    findings.push(...differences(clean.end, await subject.end(), fault.unseen));
    return { findings, outcome: first };
  } finally {
    await heal();
    await subject.close();
  }
}

/**
 * An attempt frozen with this request of it on its way, a newer one that takes over and does the effect, and the older one thawing.
 * `outcome` is what the older one says in the end.
 */
export async function thaw<State extends EngineState, Wanted>(
  engine: FaultedEngine<State, Wanted>,
  ground: Ground,
  { row, request }: Pick<Case, 'row' | 'request'>,
  clean: Clean,
): Promise<Verdict> {
  const subject = await Subject.of(engine, ground, row, 'frozen');
  try {
    let open = (): void => undefined;
    const gate = new Promise<void>((done) => {
      open = done;
    });
    const arrived = new Promise<Passed>((done) => {
      const before = async (passed: Passed): Promise<void> => {
        done(passed);
        await gate;
      };
      ground.proxy.plan({ before }, undefined, request);
    });
    const lease = new AbortController();
    const attempt = subject.attempts.next({ key: subject.key, signal: lease.signal });
    const older = outcomeOf(subject.ask(row.ask, attempt));
    const frozen = await arrived;
    const findings = [...(await finish(subject, subject.harness.backend))];
    open();
    // What its document does not fence, its lease does: found to be over only after the answer is read, as when a process thaws.
    if (!subject.isOfDocument(frozen)) setTimeout(() => lease.abort());
    const outcome = await older;
    const { class: kind } = subject.harness.backend.declaration.effects[row.effect];
    // A compare-and-set that was refused did nothing, and says so; so does what never came to its effect.
    const nothing = kind === 'compare-and-swap' || !subject.carries(frozen);
    const honest = ['done', 'unknown', 'fenced', ...(nothing ? ['transient'] : [])];
    if (!honest.includes(outcome)) findings.push(`the older one says ${outcome}`);
    return { findings: [...findings, ...differences(clean.end, await subject.end())], outcome };
  } finally {
    await subject.close();
  }
}

/** What the saga does after an attempt that did not answer "done". */
async function finish<State extends EngineState, Wanted>(
  subject: Subject<State, Wanted>,
  backend: KeyBackend,
): Promise<readonly string[]> {
  const said: string[] = [];
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const outcome = await outcomeOf(takeOver(subject, backend));
    if (outcome === 'done') return [];
    said.push(outcome);
    if (outcome === 'transient' || outcome === 'unknown') await aWhile(subject.settlesMs);
    // Signed in again, as after a 403.
    if (outcome === 'auth') await subject.ground.driver.renew();
  }
  return [`it is not done after ${MOST_TRIES} more attempts: ${said.join(', ')}`];
}

/** A newer attempt: observed first, with the fence raised; performed where nothing says that it was done. */
async function takeOver<State extends EngineState, Wanted>(
  subject: Subject<State, Wanted>,
  backend: KeyBackend = subject.harness.backend,
): Promise<void> {
  const attempt = subject.attempts.next({ key: subject.key });
  const { fence, attemptId, key, object } = attempt;
  // A containment has no place among the fences.
  const raise = subject.row.name === 'contain' ? {} : { raise: { fence, attemptId } };
  const seen = await backend.observe(object, { key, ...raise });
  if (seen.entry !== undefined && seen.served?.agrees !== false) return;
  await subject.ask(subject.row.ask, attempt, backend);
}

/** What is not as a run without a fault leaves it; a version more, which nobody accepts and which is on record, is allowed. */
function differences(clean: End, end: End, unseen = 0): readonly string[] {
  const findings: string[] = [];
  const surplus = Object.entries(end.versions).filter(([versionId]) => !(versionId in clean.versions));
  for (const [versionId, [accepted, share]] of surplus)
    if (accepted !== false || share !== 0) findings.push(`surplus version ${versionId} is in use`);
  const more = end.engine.made - clean.engine.made;
  if (more < surplus.length || more > surplus.length + unseen)
    findings.push(`${more} versions more were made, and ${surplus.length} of them are on record`);
  for (const [versionId, state] of Object.entries(clean.versions)) {
    const found = end.versions[versionId];
    if (!isDeepStrictEqual(found, state))
      findings.push(`version ${versionId} is ${JSON.stringify(found)}, not ${JSON.stringify(state)}`);
  }
  if (!isDeepStrictEqual(end.engine.limits, clean.engine.limits))
    findings.push(`the engine has ${JSON.stringify(end.engine.limits)}`);
  if (end.pending !== clean.pending) findings.push('an effect is left begun');
  if (!isDeepStrictEqual(end.served, clean.served)) findings.push(`${JSON.stringify(end.served)} is served`);
  return findings;
}

/** `done`, or the class of the port's error; any other error is none and goes on. */
export async function outcomeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'done';
  } catch (error) {
    if (error instanceof BackendError) return error.errorClass;
    throw error;
  }
}

function fitting({ requests }: Clean, { fits = () => true }: FaultClass): readonly number[] {
  return requests.flatMap((asked, request) => (fits(asked) ? [request] : []));
}

/** Every request of a row meets every class that fits it. */
export function everyCase(row: Row, clean: Clean, classes: readonly FaultClass[]): readonly Case[] {
  return classes.flatMap((fault) => fitting(clean, fault).map((request) => ({ row, fault, request })));
}

/** Whose turn it is to meet what takes long, of several engines. */
export interface Turn {
  readonly place: number;
  readonly of: number;
}

/**
 * Every effect meets every class once, on one of its rows; what takes long, on one of the engines. Every other time it is a request that
 * does a part of the effect, else any, by the seed.
 */
export function oneOfEachClass(
  row: Row,
  clean: Clean,
  {
    alike,
    classes,
    turn,
  }: {
    /** Every row of its effect. */
    readonly alike: readonly Row[];
    readonly classes: readonly FaultClass[];
    readonly turn: Turn;
  },
): readonly Case[] {
  const effect = EFFECTS.indexOf(row.effect);
  return classes.flatMap((fault, index) => {
    if ((index + SEED) % alike.length !== alike.indexOf(row)) return [];
    if (fault.dear === true && (index + 2 * effect + SEED) % turn.of !== turn.place) return [];
    const all = fitting(clean, fault);
    const carrying = all.filter((request) => clean.requests[request]?.carries === true);
    const from = (effect + index + SEED) % 2 === 0 && carrying.length > 0 ? carrying : all;
    const request = from[(SEED + effect * 5 + index * 3) % from.length];
    return request === undefined ? [] : [{ row, fault, request }];
  });
}

export function aWhile(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
