import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Stage } from './support.js';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';

// A starting service is slow where the machine is busy.
jest.setTimeout(60_000);

interface Scraped {
  readonly types: ReadonlyMap<string, string>;
  readonly samples: ReadonlyMap<string, number>;
}

/** The text format by its own grammar (prometheus.io/docs/instrumenting/exposition_formats); a line that does not fit throws. */
function parse(text: string): Scraped {
  const types = new Map<string, string>();
  const helped = new Set<string>();
  const samples = new Map<string, number>();
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line);
    if (comment !== null) {
      const [, kind = '', name = '', rest = ''] = comment;
      if (kind === 'HELP') helped.add(name);
      else types.set(name, rest);
      continue;
    }
    const sample =
      /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)+\})? (Nan|NaN|[+-]?(?:Inf|\d[\d.e+-]*))$/.exec(
        line,
      );
    if (sample === null) throw new Error(`no sample: ${line}`);
    const [, name = '', labels = '', value = ''] = sample;
    const family = name.replace(/_(?:bucket|sum|count)$/, '');
    if (!types.has(name) && !types.has(family)) throw new Error(`no type for ${name}`);
    if (samples.has(name + labels)) throw new Error(`twice: ${name}${labels}`);
    samples.set(name + labels, Number(value));
  }
  for (const name of types.keys()) if (!helped.has(name)) throw new Error(`no help for ${name}`);
  return { types, samples };
}

describe('/metrics', () => {
  let service: StartedService;
  let stage: Stage;
  beforeAll(async () => {
    service = await startService();
    stage = await Stage.on(service);
  });
  afterAll(async () => {
    await service.stop();
  });

  const scrape = async (): Promise<Scraped & { text: string }> => {
    const answer = await service.call('GET', '/metrics');
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    return { ...parse(answer.text), text: answer.text };
  };

  it('tells counts of what is recorded, and follows it', async () => {
    const { samples: before } = await scrape();
    expect(before.get('keyturn_families')).toBe(0);
    expect(before.get('keyturn_rotation_oldest_open_seconds')).toBe(0);

    const family = await stage.familyWithKey();
    const { id } = await stage.request(family.id);
    await service.keyturn.readModel.caughtUp();
    service.clock.advance(90_000);
    const { samples } = await scrape();
    expect(samples.get('keyturn_families')).toBe(1);
    expect(samples.get('keyturn_rotations_open{phase="requested",strategy="graceful"}')).toBe(1);
    expect(samples.get('keyturn_rotation_oldest_open_seconds')).toBe(90);
    expect(samples.get('keyturn_rotations_ended_total{outcome="completed"}')).toBe(1);
    expect(samples.get('keyturn_log_events')).toBe(await service.keyturn.log.treeSize());
    expect(samples.get('keyturn_read_model_lag_events')).toBe(0);
    expect(samples.get('keyturn_log_bytes')).toBeGreaterThan(4_096);
    expect(samples.get('keyturn_schedule_rotations{status="no-policy"}')).toBe(1);
    expect(samples.get('keyturn_ready')).toBe(1);

    await stage.driveTo(id, 'accepting');
    const { samples: later } = await scrape();
    expect(later.get('keyturn_rotations_open{phase="requested",strategy="graceful"}')).toBe(0);
    expect(later.get('keyturn_rotations_open{phase="accepting",strategy="graceful"}')).toBe(1);
  });

  it('tells of the process: memory, time, and how late its event loop is', async () => {
    const { samples } = await scrape();
    for (const name of [
      'process_resident_memory_bytes',
      'process_start_time_seconds',
      'nodejs_eventloop_lag_p99_seconds',
    ]) {
      expect(samples.get(name)).toBeGreaterThan(0);
    }
  });

  it('leaves out what it does not know', async () => {
    expect((await scrape()).samples.has('keyturn_last_backup_timestamp_seconds')).toBe(false);
  });

  it('names nobody and nothing, and no label is free text', async () => {
    const family = await stage.family({
      team: 'canary-team',
      backEnd: { instance: 'local', object: 'keys/canary' },
    });
    const { text, samples } = await scrape();
    for (const word of [
      family.name,
      'canary',
      'mobile-app',
      'Platform on-call',
      family.id,
      service.subject,
    ]) {
      expect(text).not.toContain(word);
    }
    const labels = new Set(
      [...samples.keys()]
        .filter((key) => key.startsWith('keyturn_'))
        .flatMap((key) => [...key.matchAll(/(\w+)="/g)].map((match) => match[1])),
    );
    expect(labels).toEqual(new Set(['kind', 'outcome', 'phase', 'status', 'strategy', 'version']));
  });

  it('is for tokens, and not for one that sees a part only', async () => {
    expect((await service.call('GET', '/metrics', { token: null })).status).toBe(401);
    const agent = await service.tokenWith(['agent']);
    expect((await service.call('GET', '/metrics', { token: agent.token })).status).toBe(403);
    const part = await service.tokenWith(['viewer'], { scope: { environments: ['staging'], teams: 'all' } });
    expect((await service.call('GET', '/metrics', { token: part.token })).status).toBe(403);
    const viewer = await service.tokenWith(['viewer']);
    expect((await service.call('GET', '/metrics', { token: viewer.token })).status).toBe(200);
  });

  it('does not take a line that is none for one', () => {
    expect(() => parse('keyturn_families one\n')).toThrow('no sample');
    expect(() => parse('keyturn_families 1\n')).toThrow('no type');
  });
});
