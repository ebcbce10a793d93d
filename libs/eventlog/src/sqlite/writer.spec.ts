import { openDatabase, type SqlDatabase } from './driver.js';
import { createSchema } from './log-file.js';
import { Writer, type AppendRequest } from './writer.js';
import { probeEvents, probeStream } from '../testing/index.js';

function request(stream: string, revision: number, ...texts: readonly string[]): AppendRequest {
  const events = probeEvents(stream, revision, ...texts);
  return {
    stream,
    expected: revision - 1,
    events: events.map((event) => ({ ...event, body: Buffer.from(event.body).toString('utf8') })),
  };
}

/** A database whose `exec` of one text fails as SQLite would. */
function failing(
  db: SqlDatabase,
  sql: string,
  errcode: number,
  after = false,
): SqlDatabase & { mend(): void } {
  let broken = true;
  return {
    ...db,
    exec: (text) => {
      if (!broken || text !== sql) {
        db.exec(text);
        return;
      }
      if (after) db.exec(text);
      throw Object.assign(new Error(`failed with ${errcode}`), { errcode });
    },
    mend: () => {
      broken = false;
    },
  };
}

describe('writer', () => {
  let db: SqlDatabase;
  beforeEach(() => {
    db = openDatabase(':memory:');
    createSchema(db);
  });
  afterEach(() => db.close());
  const size = (): unknown => db.prepare('SELECT count(*) AS n FROM events').get()?.['n'];

  it('stores a group in one commit, a failing append alone failing', () => {
    const writer = new Writer(db);
    const [a, b] = [probeStream(), probeStream()];
    const outcomes = writer.commit([
      request(a, 0, '1'),
      request(b, 5, 'x'),
      request(a, 1, '2', '3'),
      request(a, 0, 'y'),
    ]);
    expect(outcomes).toEqual([
      { kind: 'stored', outcome: 'appended', revision: 0, treeSize: 1 },
      { kind: 'wrong-revision', actual: -1 },
      { kind: 'stored', outcome: 'appended', revision: 2, treeSize: 3 },
      { kind: 'wrong-revision', actual: 2 },
    ]);
    expect(writer.statistics()).toEqual({ appends: 2, commits: 1, largestGroup: 2, synchronous: 2 });
  });

  it('rolls a full disk back and goes on when there is space', () => {
    const pages = Number(db.prepare('PRAGMA page_count').get()?.['page_count']);
    db.exec(`PRAGMA max_page_count=${pages + 4}`);
    const writer = new Writer(db);
    const big = 'x'.repeat(30_000);
    const [outcome] = writer.commit([request(probeStream(), 0, big)]);
    expect(outcome).toMatchObject({ kind: 'unavailable' });
    expect(outcome).toHaveProperty('message', expect.stringContaining('full'));
    expect(size()).toBe(0);
    db.exec('PRAGMA max_page_count=1000000');
    expect(writer.commit([request(probeStream(), 0, big)])).toMatchObject([
      { outcome: 'appended', treeSize: 1 },
    ]);
  });

  it('tries again after a full disk on COMMIT', () => {
    const broken = failing(db, 'COMMIT', 13);
    const writer = new Writer(broken);
    const again = request(probeStream(), 0, 'a');
    expect(writer.commit([again])).toMatchObject([{ kind: 'unavailable' }]);
    expect(size()).toBe(0);
    broken.mend();
    expect(writer.commit([again])).toMatchObject([{ outcome: 'appended' }]);
  });

  it.each([1034, 10])(
    'stops for good after an I/O error %i on COMMIT: whatever happened is unknown',
    (errcode) => {
      const broken = failing(db, 'COMMIT', errcode, true);
      const writer = new Writer(broken);
      const stream = probeStream();
      const outcomes = writer.commit([request(stream, 0, 'a'), request(stream, 7, 'b')]);
      for (const outcome of outcomes) {
        expect(outcome).toMatchObject({ kind: 'unavailable', message: expect.stringContaining('restarted') });
      }
      broken.mend();
      expect(writer.commit([request(stream, 1, 'c')])).toEqual([outcomes[0]]);
      expect(size()).toBe(1);
    },
  );

  it('tells by trying whether it can write again, and changes nothing by it', () => {
    const broken = failing(db, 'COMMIT', 13);
    const writer = new Writer(broken);
    expect(writer.probe()).toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('failed with 13'),
    });
    broken.mend();
    const before = db.prepare('SELECT * FROM pragma_user_version').get();
    expect(writer.probe()).toEqual({ kind: 'written' });
    expect(db.prepare('SELECT * FROM pragma_user_version').get()).toEqual(before);
    expect(size()).toBe(0);
  });

  it('does not try any more once the disk has failed', () => {
    const broken = failing(db, 'COMMIT', 1034);
    const writer = new Writer(broken);
    expect(writer.probe()).toMatchObject({ kind: 'unavailable', stopped: true });
    broken.mend();
    expect(writer.probe()).toMatchObject({ kind: 'unavailable', stopped: true });
  });

  it('goes on after an I/O error before COMMIT: nothing was written', () => {
    const broken = failing(db, 'BEGIN IMMEDIATE', 10);
    const writer = new Writer(broken);
    expect(writer.commit([request(probeStream(), 0, 'a')])).toMatchObject([{ kind: 'unavailable' }]);
    broken.mend();
    expect(writer.commit([request(probeStream(), 0, 'a')])).toMatchObject([{ kind: 'stored' }]);
  });

  it.each([11, 26])('stops and calls the file damaged after error %i', (errcode) => {
    const broken = failing(db, 'BEGIN IMMEDIATE', errcode);
    const writer = new Writer(broken);
    expect(writer.commit([request(probeStream(), 0, 'a')])).toMatchObject([
      { kind: 'corrupt', message: expect.stringContaining('Writes are refused') },
    ]);
    broken.mend();
    expect(writer.commit([request(probeStream(), 0, 'a')])).toMatchObject([{ kind: 'corrupt' }]);
  });

  it('never changes or deletes what is stored', () => {
    const writer = new Writer(db);
    writer.commit([request(probeStream(), 0, 'a')]);
    expect(() => db.exec("UPDATE events SET body = '{}'")).toThrow('never changed');
    expect(() => db.exec('DELETE FROM events')).toThrow('never deleted');
  });
});
