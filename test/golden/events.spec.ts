import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EventDefinition, EventDefinitions } from '#eventlog';
import { logEvents, openEventStore, sealEvent, type EventStore } from '#eventlog/kit';
import { openSqliteEventLog } from '#eventlog/sqlite';
import { systemClock, systemIds } from '#platform';
import { DEFINITIONS } from '#service';

/**
 * What was stored once is read for ever: `test/fixtures/events/<Type>.v<n>.json` holds the data of every version of every
 * event type as it was stored. A fixture is never edited and never removed; a new version gets a new one.
 */

const FOLDER = 'test/fixtures/events';
const FIXTURE = /^([A-Za-z]+)\.v(\d+)\.json$/;

const names = readdirSync(FOLDER).sort();
const all: readonly EventDefinitions[] = [logEvents, ...DEFINITIONS];

function catalogueOf(definitions: readonly EventDefinitions[]): ReadonlyMap<string, EventDefinition> {
  return new Map(definitions.flatMap((each) => Object.entries(each)));
}

/** The fixtures these definitions owe. */
function owed(definitions: readonly EventDefinitions[]): string[] {
  return [...catalogueOf(definitions)].flatMap(([type, { version }]) =>
    Array.from({ length: version }, (_, index) => `${type}.v${index + 1}.json`),
  );
}

function missing(definitions: readonly EventDefinitions[]): string[] {
  return owed(definitions).filter((name) => !names.includes(name));
}

describe('fixtures of every event ever stored', () => {
  let directory: string;
  let store: EventStore;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'keyturn-golden-'));
    const log = await openSqliteEventLog({ directory }, { inline: true });
    store = await openEventStore({ log, definitions: DEFINITIONS, clock: systemClock, ids: systemIds });
  });

  afterAll(async () => {
    await store.log.close();
    await rm(directory, { recursive: true, force: true });
  });

  it('there is one for every version of every type', () => {
    expect(missing(all)).toEqual([]);
    expect(owed(all).length).toBeGreaterThanOrEqual(60);
  });

  it('a new version or a new type without one is found', () => {
    const { LogOpened } = logEvents;
    const newer = { LogOpened: { ...LogOpened, version: 2, upcast: { 1: (data: unknown) => data } } };
    expect(missing([newer])).toEqual(['LogOpened.v2.json']);
    expect(missing([{ NeverSeen: LogOpened }])).toEqual(['NeverSeen.v1.json']);
  });

  it('none stands for a type or a version that is no longer known', () => {
    const known = owed(all);
    expect(names.filter((name) => !known.includes(name))).toEqual([]);
  });

  it.each(names)('%s is read as it was stored', (name) => {
    const [, type = '', version = ''] = FIXTURE.exec(name) ?? [];
    const schemaVersion = Number(version);
    const data: unknown = JSON.parse(readFileSync(join(FOLDER, name), 'utf8'));
    const id = systemIds.random();
    const stream = `golden-${id}`;
    const sealed = sealEvent({
      stream,
      revision: 0,
      id,
      type,
      schemaVersion,
      recordedAt: 1_767_225_600_000,
      actor: 'system',
      correlationId: id,
      causationId: id,
      provenance: 'performed',
      origin: { via: 'kit' },
      salt: systemIds.salt(),
      data,
    });
    const read = store.decode({ ...sealed, treeSize: 1 });
    expect(read.schemaVersion).toBe(schemaVersion);
    // An older version is lifted; then the newest schema has nothing left to change.
    const definition = catalogueOf(all).get(type);
    if (definition?.version === schemaVersion) expect(read.data).toEqual(data);
    expect(definition?.schema.parse(read.data)).toEqual(read.data);
  });
});
