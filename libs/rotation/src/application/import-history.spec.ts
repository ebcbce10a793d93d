import { readFileSync } from 'node:fs';
import type { RecordedEvent } from '#eventlog';
import { openEventStore, openReadModel, type EventStore } from '#eventlog/kit';
import { openSqliteEventLog } from '#eventlog/sqlite';
import { derivedId, interceptFailpoint, systemIds } from '#platform';
import { claimEvents } from '../domain/claim.events.js';
import { containmentEvents } from '../domain/containment.events.js';
import { familyEvents } from '../domain/family.events.js';
import { importEvents } from '../domain/import.events.js';
import { policyEvents } from '../domain/policy.events.js';
import { rotationEvents } from '../domain/rotation.events.js';
import { nextStep } from '../domain/rotation.saga.js';
import type { RotationView, StepDeclaration } from '../domain/saga/view.js';
import { noHolds } from '../domain/holds.state.js';
import { stepEvents, STEPS } from '../domain/step.events.js';
import { noTelemetry } from '../domain/telemetry.state.js';
import { claimsProjection, rotationsProjection, wakeupsProjection } from '../index.js';
import type { FileError } from './files/file-problems.js';
import { BackEnds } from './back-ends.js';
import { readImportFile } from './import-file.js';
import {
  ImportHistory,
  ImportHistoryHandler,
  InvalidImportError,
  type ImportResult,
} from './import-history.js';
import { Ledger, type CommandContext } from './ledger.js';
import { familyStream, idOf } from './streams.js';

const NOW = Date.parse('2026-03-01T09:00:00.000Z');
const context: CommandContext = {
  subject: '0b6f6a52-0000-4000-8000-000000000001',
  commandId: '0b6f6a52-0000-4000-8000-000000000002',
  requestHash: 'a'.repeat(64),
  via: 'http',
};
const stockEase = readFileSync(new URL('../../../../examples/stockease.json', import.meta.url));

const NEVER_CALLED: StepDeclaration = { longestRequestMs: 0, outlivesProcess: false };

const NO_BACK_END: RotationView['backEnd'] = {
  observed: { unavailable: 'nobody asks' },
  steps: Object.fromEntries(STEPS.map((step) => [step, NEVER_CALLED])) as RotationView['backEnd']['steps'],
};

async function house(): Promise<{
  readonly store: EventStore;
  readonly ledger: Ledger;
  readonly run: (bytes: Uint8Array | string, name?: string) => Promise<ImportResult>;
  readonly all: () => Promise<readonly RecordedEvent[]>;
}> {
  const store = await openEventStore({
    log: await openSqliteEventLog({ memory: true }),
    definitions: [
      claimEvents,
      containmentEvents,
      familyEvents,
      importEvents,
      policyEvents,
      rotationEvents,
      stepEvents,
    ],
    clock: { now: () => NOW, monotonic: () => NOW },
    // One log id, so that derived ids are the same in every house.
    ids: { ...systemIds, random: sequence() },
  });
  const ledger = new Ledger(store);
  const handler = new ImportHistoryHandler(ledger, new BackEnds([]));
  return {
    store,
    ledger,
    run: (bytes, name = 'stockease.json') =>
      handler.execute(
        new ImportHistory(context, name, typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes),
      ),
    all: async () => {
      const events: RecordedEvent[] = [];
      for await (const logged of store.log.readAll()) events.push(store.decode(logged));
      return events;
    },
  };
}

function invalid(error: unknown): InvalidImportError {
  if (!(error instanceof InvalidImportError)) throw new Error('was not refused as an invalid import');
  return error;
}

function sequence(): () => string {
  let next = 0;
  return () => {
    next += 1;
    return `4f0c1b1e-0000-4000-8000-${String(next).padStart(12, '0')}`;
  };
}

/** What must be the same however often a process died: everything but the random ids. */
function facts(events: readonly RecordedEvent[]): unknown {
  return events.map(({ id: _id, ...event }) => event);
}

function file(entries: readonly string[]): string {
  return `{ "format": "keyturn-history/1", "source": "a test",\n"entries": [\n${entries.join(',\n')}\n]}`;
}

const FAMILY = JSON.stringify({
  family: {
    name: 'Session JWT',
    environment: 'production',
    kind: 'shared-secret',
    algorithm: 'HS256',
    protects: 'application-account',
    usage: 'mac',
    overlap: 'dual',
    authority: { kind: 'nobody' },
    owner: { role: 'not recorded' },
    team: 'StockEase',
  },
});

function rotation(facts: readonly string[], head: Readonly<Record<string, unknown>> = {}): string {
  const about = {
    label: 'November',
    family: 'production/Session JWT',
    strategy: 'graceful',
    trigger: 'scheduled',
    reason: 'Quarterly.',
    ...head,
  };
  return `{"rotation": ${JSON.stringify(about)}, "facts": [\n${facts.join(',\n')}\n]}`;
}

function errorsOf(text: string): readonly FileError[] {
  return readImportFile(new TextEncoder().encode(text), NOW).errors;
}

describe('the example history', () => {
  it('is taken over line by line, each line the cause of what it decides', async () => {
    const { run, all, store } = await house();
    const result = await run(stockEase);
    expect(result.changed).toBe(true);
    expect(result.counts).toMatchObject({ families: 5, rotations: 2, skipped: 0 });
    const events = await all();
    const started = events.find((event) => event.type === 'ImportStarted');
    const imported = events.filter(
      (event) => event.stream.startsWith('family-') || event.stream.startsWith('rotation-'),
    );
    expect(imported.every((event) => event.provenance === 'imported' && event.origin.via === 'import')).toBe(
      true,
    );
    const { file, lines: told } = importEvents.ImportStarted.schema.parse(started?.data);
    const lines = stockEase.toString('utf8').split('\n');
    const ids = new Map(lines.map((_line, at) => [derivedId(store.logId, file, String(at + 1)), at + 1]));
    expect(imported.every((event) => ids.has(event.causationId))).toBe(true);
    const generated = imported.find((event) => event.type === 'KeyGenerated');
    // The line of the fact's opening brace; its type stands on the next.
    expect(lines[ids.get(generated?.causationId ?? '') ?? 0]).toContain('"KeyGenerated"');
    const rotations = imported.filter((event) => event.stream.startsWith('rotation-'));
    const chains = new Set(rotations.map((event) => `${event.stream} ${event.correlationId}`));
    expect(chains.size).toBe(2);
    expect(
      result.counts.families + result.counts.consumers + result.counts.rotations + result.counts.facts,
    ).toBe(told);
  });

  it('leaves out what was not recorded', async () => {
    const { run, all } = await house();
    await run(stockEase);
    const events = await all();
    const compromise = events.find((event) => event.type === 'CompromiseConfirmed');
    expect(compromise?.occurredAt).toBeUndefined();
    expect(compromise?.data).toMatchObject({
      versions: [],
      occurredWithin: { from: '2025-11-10T00:00:00.000Z', to: '2025-11-11T00:00:00.000Z' },
    });
    const types = events.map((event) => event.type);
    for (const target of [
      'EmergencyDeclared',
      'EmitterSwitched',
      'ReauthenticationVerified',
      'RotationOpened',
    ]) {
      expect(types).not.toContain(target);
    }
    const counted = events.find((event) => event.type === 'TelemetryRecorded');
    expect(counted?.data).toMatchObject({ current: 2847, previous: 52, invalid: 2 });
  });

  it('wakes nobody: no row for the waker, no claim left over, no slot', async () => {
    const { run, all, store, ledger } = await house();
    await run(stockEase);
    const readModel = await openReadModel({
      store,
      path: ':memory:',
      projections: [wakeupsProjection, claimsProjection, rotationsProjection],
    });
    await readModel.caughtUp();
    expect(readModel.db.prepare('SELECT count(*) AS n FROM wakeups').get()).toEqual({ n: 0 });
    expect(readModel.db.prepare('SELECT count(*) AS n FROM claims_pending').get()).toEqual({ n: 0 });
    expect(readModel.db.prepare('SELECT count(*) AS n FROM rotations WHERE imported = 0').get()).toEqual({
      n: 0,
    });
    await readModel.close();
    const streams = new Set((await all()).map((event) => event.stream));
    for (const stream of streams) {
      if (stream.startsWith('family-'))
        expect((await ledger.family(idOf(stream))).state.slot).toBeUndefined();
      if (stream.startsWith('rotation-')) {
        const rotation = (await ledger.rotation(idOf(stream))).state;
        expect(rotation).toMatchObject({ imported: true, phase: 'completed' });
        const view: RotationView = {
          rotation,
          family: (await ledger.family(rotation.familyId)).state,
          familyRevision: 0,
          holds: noHolds,
          telemetry: noTelemetry,
          contained: [],
          claims: [],
          backEnd: NO_BACK_END,
          clocks: { newestRecordedAt: NOW },
          runner: { worker: 'a#1', othersAreDead: true },
          incomingVersionId: 'next',
        };
        expect(nextStep(view, NOW + 1_000_000_000)).toEqual({ kind: 'finished' });
        // Neither would one that was told without its end.
        expect(nextStep({ ...view, rotation: { ...rotation, phase: 'accepting' } }, NOW)).toEqual({
          kind: 'finished',
        });
      }
    }
  });

  it('is quiet the second time', async () => {
    const { run, all } = await house();
    await run(stockEase);
    const before = await all();
    const again = await run(stockEase, 'another-name.json');
    expect(again).toMatchObject({ changed: false, counts: { families: 0, rotations: 0, facts: 0 } });
    expect(again.counts.skipped).toBeGreaterThan(10);
    expect(await all()).toEqual(before);
  });

  it.each([
    ['seam:import-started', 1],
    ['seam:import-line', 1],
    ['seam:import-line', 2],
    ['seam:import-line', 9],
    ['seam:import-line', 17],
    ['seam:import-before-completed', 1],
  ])('died at %s (%i): goes on, and ends where an uninterrupted one ends', async (seam, hit) => {
    const uninterrupted = await house();
    await uninterrupted.run(stockEase);
    const { run, all } = await house();
    const died = new Error('died here');
    const disarm = interceptFailpoint(
      seam,
      () => {
        throw died;
      },
      hit,
    );
    await expect(run(stockEase)).rejects.toBe(died);
    disarm();
    const half = await all();
    const resumed = await run(stockEase);
    expect((await all()).slice(0, half.length)).toEqual(half);
    expect(facts(await all())).toEqual(facts(await uninterrupted.all()));
    expect(resumed.counts.skipped).toBe(
      seam === 'seam:import-line' ? hit : seam === 'seam:import-started' ? 0 : resumed.counts.skipped,
    );
  });

  it('run twice at once is taken over once', async () => {
    const uninterrupted = await house();
    await uninterrupted.run(stockEase);
    const { run, all } = await house();
    await Promise.all([run(stockEase), run(stockEase)]);
    expect((await all()).length).toBe((await uninterrupted.all()).length);
  });
});

describe('what the log says', () => {
  it('families and consumers that are not there are told by line, and nothing is appended', async () => {
    const { run, all } = await house();
    const before = (await all()).length;
    const text = file([
      '{"consumer": {"name": "api", "roles": ["emitter"]}, "family": "production/Session JWT"}',
      FAMILY,
      '{"version": {"versionId": "a", "accepted": true}, "family": "production/Other"}',
      rotation([
        '{"type": "EmissionConfirmed", "data": {"consumer": "nobody", "versionId": "b", "instances": ["one"]}}',
      ]),
    ]);
    const refused = await run(text).catch((error: unknown) => error);
    expect(invalid(refused).errors.map(({ line, field }) => [line, field])).toEqual([
      [3, 'family'],
      [5, 'family'],
      [7, 'rotation.facts[0].data.consumer'],
    ]);
    expect(invalid(refused).code).toBe('import.invalid');
    expect((await all()).length).toBe(before);
  });

  it('a name that another file registered is taken; its family can be added to', async () => {
    const { run, ledger, all } = await house();
    await run(file([FAMILY]), 'first.json');
    const refused = await run(file([FAMILY, FAMILY.replace('Session JWT', 'B')])).catch(
      (error: unknown) => error,
    );
    expect(invalid(refused).errors).toEqual([
      { line: 3, field: 'family.name', message: expect.stringContaining('another family') },
    ]);
    const added = await run(
      file([
        '{"consumer": {"name": "api", "roles": ["emitter"]}, "family": "production/Session JWT"}',
        rotation([
          '{"type": "EmissionConfirmed", "data": {"consumer": "api", "versionId": "b", "instances": ["one"]}}',
        ]),
      ]),
    );
    expect(added.counts).toEqual({ families: 0, consumers: 1, rotations: 1, facts: 1, skipped: 0 });
    const stream =
      (await all()).find((event) => event.type === 'FamilyRegistered')?.stream ?? familyStream('');
    const { state } = await ledger.family(idOf(stream));
    const confirmed = (await all()).find((event) => event.type === 'EmissionConfirmed');
    expect(confirmed?.data).toMatchObject({ consumerId: state.consumers[0]?.consumerId });
  });

  it('a declared coverage is where the family is watched from, with its basis', async () => {
    const { run, ledger, all } = await house();
    const coverage = '"coverage": {"from": "2025-06-01T00:00:00Z", "basis": "the change log of the team"}';
    await run(file([`${FAMILY.slice(0, -1)}, ${coverage}}`]));
    const event = (await all()).find((each) => each.type === 'FamilyRegistered');
    expect(event?.data).toMatchObject({ coverage: { basis: 'the change log of the team' } });
    const { state } = await ledger.family(idOf(event?.stream ?? ''));
    expect(state.registeredAt).toBe(Date.parse('2025-06-01T00:00:00Z'));
  });

  it('refuses a file name that is none', async () => {
    const { run } = await house();
    await expect(run(stockEase, '/')).rejects.toThrow('fileName');
  });
});

describe('a bad file', () => {
  it('is told everything that is wrong, sorted by line', () => {
    const errors = errorsOf(
      file([
        FAMILY.replace('"mac"', '"encrypt"').replace('"team"', '"teem"'),
        FAMILY.replace('"tracked"', '').replace('"name"', '"mode":"driven","name"'),
        '{"consumer": {"name": "api", "roles": ["emitter"], "cacheTtl": "10 minutes"}, "family": "Session JWT"}',
        rotation([
          '{"type": "KeyGenerated", "at": "2027-11-13T09:00:00Z", "data": {"versionId": "b", "algorithm": "HS256"}}',
          '{"type": "KeyBurnt", "at": "2025-11-13T10:00:00Z"}',
          '{"type": "NoteAdded", "at": "2025-11-13", "data": {"note": "x", "colour": "red"}}',
          '{"type": "NoteAdded", "within": {"from": "2025-11-13T10:00:00Z", "to": "2025-11-13T09:00:00Z"}, "data": {"note": "x"}}',
        ]),
        '{"nothing": 1}',
      ]),
    );
    expect(errors.map(({ line, field }) => `${line} ${field}`)).toEqual([
      '3 family.usage',
      '3 family.team',
      '3 family.teem',
      '4 family.mode',
      '5 consumer.cacheTtl',
      '5 family',
      '7 rotation.facts[0].at',
      '8 rotation.facts[1].type',
      '9 rotation.facts[2].at',
      '10 rotation.facts[3].within.to',
      '12 entries[4]',
    ]);
    expect(errors[0]?.message).toContain('withdrawing one makes old ciphertext unreadable');
    expect(errors[3]?.message).toContain('nothing imported acts');
  });

  it('says unknown fields inside a fact, and the line inside an entry', () => {
    const errors = errorsOf(
      file([
        FAMILY,
        rotation([
          '{"type": "NoteAdded",\n "data": {"note": "x",\n  "colour": "red"}}',
          '{"type": "OldKeyRevoked", "data": {}}',
        ]),
      ]),
    );
    expect(errors).toEqual([
      { line: 7, field: 'rotation.facts[0].data.colour', message: 'is not known here; accepted: note' },
      { line: 8, field: 'rotation.facts[1].data.versions', message: 'is missing' },
    ]);
  });

  it('keeps the order of facts', () => {
    const order = (strategy: string): readonly string[] =>
      errorsOf(
        file([
          FAMILY,
          rotation(
            [
              '{"type": "OldKeyRevoked", "at": "2025-11-13T09:00:00Z", "data": {"versions": ["a"]}}',
              '{"type": "EmitterSwitched", "at": "2025-11-13T10:00:00Z", "data": {"to": "b", "share": 100}}',
              '{"type": "NoteAdded", "at": "2025-11-13T08:00:00Z", "data": {"note": "earlier"}}',
              '{"type": "RotationCompleted", "data": {"leftAccepted": []}}',
              '{"type": "NoteAdded", "data": {"note": "later"}}',
              '{"type": "KeyGenerated", "data": {"versionId": "b", "algorithm": "HS256"}}',
            ],
            { strategy },
          ),
        ]),
      ).map(({ line, field }) => `${line} ${field}`);
    expect(order('graceful')).toEqual([
      '5 rotation.facts[0].type',
      '6 rotation.facts[1].type',
      '7 rotation.facts[2].at',
      '10 rotation.facts[5].type',
    ]);
    expect(order('emergency')).toEqual([
      '6 rotation.facts[1].type',
      '7 rotation.facts[2].at',
      '10 rotation.facts[5].type',
    ]);
  });

  it.each([
    ['a PEM block', '-----BEGIN EC PRIVATE KEY-----'],
    ['a JWT', 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLW9mLWEtdG9rZW4'],
    ['32 bytes of base64', 'it was Zm9vYmFyYmF6cXV4MDEyMzQ1Njc4OWFiY2RlZmdoaWo0 then'],
    ['32 bytes of hex', '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'],
    ['a password in a URL', 'postgres://orders:hunter2@db.internal/orders'],
    ['a Vault token', 'hvs.CAESIJ0abcdefghijklmnop'],
  ])('refuses %s, and never repeats it', (_what, value) => {
    const errors = errorsOf(
      file([FAMILY, rotation([`{"type": "NoteAdded", "data": {"note": ${JSON.stringify(value)}}}`])]),
    );
    expect(errors).toEqual([
      {
        line: 5,
        field: 'rotation.facts[0].data.note',
        message: expect.stringContaining('looks like secret'),
      },
    ]);
    expect(JSON.stringify(errors)).not.toContain(value.slice(3, 20));
  });

  it('takes a digest where a fingerprint belongs, and paths and sentences anywhere', () => {
    const errors = errorsOf(
      file([
        FAMILY,
        `{"version": {"versionId": "a", "accepted": true, "fingerprint": "SHA256:${'Ab3'.repeat(14)}x"}, "family": "production/Session JWT"}`,
        `{"runbook": {"storage": "kv/production/stockease/sessions/signing/keys/current, see a0b1c2d3e4f5a0b1c2d3e4f5a0b1c2d3e4f5a0b1"}, "family": "production/Session JWT"}`,
      ]),
    );
    expect(errors).toEqual([]);
  });

  it.each([
    ['YAML', 'format: keyturn-history/1\nentries: []', 1, 'YAML is not read here'],
    ['a missing comma', '{\n"format": "keyturn-history/1"\n"source": "x"}', 3, 'expected ","'],
    ['a comment', '{\n// hello\n}', 2, 'double quotes'],
    ['a string that does not end', '{\n"format": "x', 2, 'does not end'],
    ['a trailing comma', '{"entries": [1,\n]}', 2, 'expected a value'],
    ['text after the end', '{}\n{}', 2, 'after the end'],
    ['a half escape', '{"a":\n "\\u12"}', 2, 'bad escape'],
  ])('that is no JSON (%s) is told where', (_what, text, line, message) => {
    expect(errorsOf(text)).toContainEqual({ line, field: '', message: expect.stringContaining(message) });
  });

  it('refuses a name that stands twice, other formats, two entries on a line and too much', () => {
    expect(errorsOf(file([FAMILY.replace('"team"', '"kind":"provider-key","team"')]))).toEqual([
      { line: 3, field: 'family.kind', message: 'must not stand twice' },
    ]);
    expect(errorsOf('{"format": "keyturn-history/2", "source": "x", "entries": [{}]}')[0]).toMatchObject({
      field: 'format',
      message: 'must be keyturn-history/1',
    });
    expect(errorsOf(file([`${FAMILY},${FAMILY.replace('Session JWT', 'B')}`]))).toEqual([
      { line: 3, field: 'entries[1]', message: 'must start on a line of its own' },
    ]);
    expect(readImportFile(new Uint8Array(16 * 1024 * 1024 + 1), NOW).errors[0]?.message).toContain('16 MiB');
    expect(readImportFile(new Uint8Array([0x7b, 0xff]), NOW).errors[0]?.message).toContain('UTF-8');
    expect(errorsOf(file([FAMILY, rotation([]), rotation([])]))[0]).toMatchObject({
      line: 7,
      field: 'rotation.label',
    });
  });

  it('is refused at once where a text or a name is far too long', () => {
    const long = '"'.concat('aB3'.repeat(2_000_000), '"');
    expect(errorsOf(`{"format": ${long}}`)).toContainEqual({
      line: 1,
      field: 'format',
      message: 'must be keyturn-history/1',
    });
    expect(errorsOf(file([FAMILY.replace('"StockEase"', long)]))[0]?.message).toContain('longer than');
    expect(errorsOf(`{${long}: 1}`).map(({ field }) => field)).toContain(
      '(a name that looks like secret material)',
    );
  });

  it('takes facts on the line of their entry, as one append', async () => {
    const { run, all } = await house();
    await run(
      file([FAMILY, rotation(['{"type": "NoteAdded", "data": {"note": "x"}}']).replaceAll('\n', ' ')]),
    );
    const events = (await all()).filter((event) => event.stream.startsWith('rotation-'));
    expect(events.map((event) => event.type)).toEqual(['RotationRequested', 'NoteAdded']);
    expect(events[0]?.causationId).toBe(events[1]?.causationId);
  });
});
