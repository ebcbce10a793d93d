import { BackendError } from '#custody';
import { DomainError, formatInstant, WrongExpectedRevisionError } from '#eventlog';
import { SecretValue } from '#platform';
import { ManualClock } from '#platform/testing';
import { destructionStream, type Wake } from '#rotation';
import { AskDestruction, AskDestructionHandler } from '#rotation/application';
import { FaultyBackEnd } from '../support/faulty-back-end.js';
import { World } from '../support/world.js';

/** Destroying has an approval of its own, takes the family's slot, and touches only what nothing accepts or emits. */
describe('destroying key material', () => {
  const DAY = 86_400_000;
  let clock: ManualClock;
  let world: World;
  let faults: FaultyBackEnd;
  let family: string;
  let old: string;
  let current: string;

  beforeEach(async () => {
    clock = new ManualClock('2026-03-02T09:00:00.000Z');
    world = await World.open({ clock, before: (real) => (faults = new FaultyBackEnd(real)) });
    family = (await world.registerFamily({ name: 'session', algorithm: 'ES256', artefactLife: 'PT1H' })).id;
    await world.registerConsumer(family, { name: 'api', roles: ['emitter', 'verifier'], cacheTtl: 'PT5M' });
    old = await world.firstVersion(family);
    current = await world.firstVersion(family);
  });
  afterEach(() => world.close());

  const advance = (id: string): Promise<Wake> => world.runner.advanceDestruction(id);
  const approve = (id: string, by = world.approver) => world.askDestruction(id, { type: 'approve' }, by);
  const material = async (id: string): Promise<boolean> =>
    (await world.backEnd.observe('keys/session')).versions.some(
      (version) => version.versionId === id && !version.destroyed,
    );
  const types = async (stream: string): Promise<readonly string[]> =>
    (await world.facts(stream)).map((event) => event.type);
  const leap = async (id: string): Promise<void> => {
    for (let turn = 0; turn < 50; turn += 1) {
      const wake = await advance(id);
      if (wake.finished) return;
      if (wake.until === undefined) throw new Error(`it waits for ${wake.waitsFor}`);
      clock.advance(Math.max(0, wake.until - clock.now()));
    }
    throw new Error('it does not end');
  };

  it('destroys after approval by another subject, and the family says so for good', async () => {
    const { id } = await world.destroy(family, [old]);
    expect(await advance(id)).toEqual({ finished: false, waitsFor: 'approval of the destruction' });
    expect(await material(old)).toBe(true);
    await approve(id);
    expect(await advance(id)).toEqual({ finished: true });
    expect(await material(old)).toBe(false);
    expect(await material(current)).toBe(true);
    expect(await types(destructionStream(id))).toEqual([
      'DestructionRequested',
      'DestructionApproved',
      'StepStarted',
      'OldKeyDestroyed',
    ]);
    expect((await types(`family-${family}`)).slice(-2)).toEqual(['SlotTaken', 'SlotFreed']);
    const state = await world.family(family);
    expect(state.versions.find((version) => version.versionId === old)?.destroyed).toBe(true);
    // A later rotation's snapshot does not bring it back.
    await world.firstVersion(family);
    expect(
      (await world.family(family)).versions.find((version) => version.versionId === old)?.destroyed,
    ).toBe(true);
    await expect(world.destroy(family, [old])).rejects.toMatchObject({
      code: 'destruction.already-destroyed',
    });
  });

  it('never goes without its approval: not by its requester, not by an attestation, not by a retry', async () => {
    const { id } = await world.destroy(family, [old]);
    const before = await types(destructionStream(id));
    await expect(approve(id, world.requester)).rejects.toMatchObject({ code: 'destruction.own-approval' });
    await expect(
      world.askDestruction(id, {
        type: 'attest',
        attestation: { evidence: { link: 'https://x.example/1' } },
      }),
    ).rejects.toMatchObject({ code: 'destruction.not-approved' });
    await expect(world.askDestruction(id, { type: 'retry' })).rejects.toMatchObject({
      code: 'destruction.not-suspended',
    });
    expect(await types(destructionStream(id))).toEqual(before);
    await advance(id);
    expect(await material(old)).toBe(true);
    expect(await types(destructionStream(id))).toEqual(before);
  });

  it('refuses what is accepted, emits, is unknown or may be needed by a running rotation', async () => {
    await expect(world.destroy(family, [current])).rejects.toMatchObject({ code: 'destruction.in-use' });
    await expect(world.destroy(family, ['nobody'])).rejects.toMatchObject({ code: 'version.unknown' });
    const { id } = await world.request(family);
    await world.advance(id);
    await world.approve(id);
    for (let turn = 0; turn < 60; turn += 1) {
      const wake = await world.advance(id);
      await world.confirmAsked(id);
      if ((await world.rotation(id)).phase === 'watching') break;
      if (!wake.finished && wake.until !== undefined) clock.advance(Math.max(0, wake.until - clock.now()));
    }
    expect((await world.rotation(id)).phase).toBe('watching');
    // Revoked, and still what a rollback would return to.
    await expect(world.destroy(family, [current])).rejects.toMatchObject({
      code: 'destruction.rollback-target',
    });
  });

  it('waits for its retention', async () => {
    const { id } = await world.destroy(family, [old], { notBefore: '2026-06-01T00:00:00.000Z' });
    await approve(id);
    const wake = await advance(id);
    expect(wake).toMatchObject({ finished: false, until: Date.parse('2026-06-01T00:00:00.000Z') });
    expect((await world.family(family)).process).toBeUndefined();
    clock.advance(100 * DAY);
    await leap(id);
    expect(await material(old)).toBe(false);
  });

  it('waits for the slot of a running rotation', async () => {
    const { id: destruction } = await world.destroy(family, [old]);
    const { id: rotation } = await world.request(family);
    await world.advance(rotation);
    await approve(destruction);
    expect(await advance(destruction)).toMatchObject({
      waitsFor: `the family’s slot: rotation ${rotation} holds it`,
    });
    await world.ask(rotation, { type: 'reject', reason: 'later' }, world.approver);
    await world.advance(rotation);
    await leap(destruction);
    expect(await material(old)).toBe(false);
  });

  it('can be taken back until it begins, and never after', async () => {
    const first = await world.destroy(family, [old], { notBefore: '2026-06-01T00:00:00.000Z' });
    await approve(first.id);
    await world.askDestruction(first.id, { type: 'reject', reason: 'an appeal is pending' }, world.approver);
    clock.advance(100 * DAY);
    expect(await advance(first.id)).toEqual({ finished: true });
    expect(await material(old)).toBe(true);
    const { id } = await world.destroy(family, [old]);
    await approve(id);
    await leap(id);
    await expect(
      world.askDestruction(id, { type: 'reject', reason: 'too late' }, world.approver),
    ).rejects.toMatchObject({ code: 'destruction.done' });
  });

  it.each(['refused', 'answer-lost'] as const)('performs it once where a call is %s', async (fault) => {
    const { id } = await world.destroy(family, [old]);
    await approve(id);
    faults.plan('destroy', fault);
    await leap(id);
    expect(faults.outstanding).toBe(0);
    expect(await material(old)).toBe(false);
    expect((await types(destructionStream(id))).filter((type) => type === 'OldKeyDestroyed')).toHaveLength(1);
  });

  it('asks a person where the back end still accepts what the record says is out', async () => {
    const { id } = await world.destroy(family, [old]);
    await approve(id);
    const attempt = {
      object: 'keys/session',
      familyId: family,
      key: 'by-hand/re-accept',
      attemptId: 'by-hand',
      fence: { slot: 0, step: 0 },
      signal: new AbortController().signal,
    };
    const fence = { slot: 1_000, step: 0 };
    await world.backEnd.reAccept({ ...attempt, fence }, { versions: [old] });
    await advance(id);
    const { state } = await world.ledger.destruction(id);
    expect(state.status === 'suspended' || state.steps.failure !== undefined).toBe(true);
    expect(await material(old)).toBe(true);
  });

  it('holds while the log does not verify, without the slot', async () => {
    const { history } = await world.ledger.holds();
    const cause = {
      actor: 'system',
      correlationId: family,
      causationId: family,
      origin: { via: 'saga' },
    } as const;
    await world.store.append(history, [{ type: 'IntegrityHeld', data: { what: 'a test' } }], cause);
    const { id } = await world.destroy(family, [old]);
    await approve(id);
    expect(await advance(id)).toMatchObject({ waitsFor: 'held: the log does not verify: a test' });
    expect((await world.family(family)).process).toBeUndefined();
    const held = await world.ledger.holds();
    await world.store.append(
      held.history,
      [{ type: 'IntegrityConfirmed', data: { reason: 'looked into' } }],
      cause,
    );
    await leap(id);
    expect(await material(old)).toBe(false);
  });

  describe('what deletes, where the back end wants it supplied', () => {
    const supply = (id: string, by = world.approver) =>
      world.askDestruction(id, { type: 'supply-token', wrapped: new SecretValue('s.wrapped') }, by);
    const refused = async (work: Promise<unknown>): Promise<string | undefined> => {
      const error: unknown = await work.catch((thrown: unknown) => thrown);
      return error instanceof DomainError ? error.code : undefined;
    };

    it('is not taken where none is needed', async () => {
      const { id } = await world.destroy(family, [old]);
      expect(await refused(supply(id))).toBe('destruction.needs-no-token');
    });

    it('is taken by the back end, and on record without a trace of it', async () => {
      const taken: string[] = [];
      faults.supplyDestroyer = async ({ object, key }, wrapped) => {
        taken.push(`${object} ${key} ${wrapped.reveal().toString('utf8')}`);
        return { seconds: 600, drop: async () => undefined };
      };
      const { id } = await world.destroy(family, [old]);
      expect(await refused(supply(id, world.requester))).toBe('destruction.own-approval');
      expect(taken).toEqual([]);
      await supply(id);
      expect(taken).toEqual([`keys/session ${destructionStream(id)}/destroy s.wrapped`]);
      const [event] = (await world.facts(destructionStream(id))).slice(-1);
      expect(event).toMatchObject({
        type: 'DestructionTokenSupplied',
        data: { endsAt: formatInstant(clock.now() + 600_000) },
      });
      await approve(id);
      expect(await advance(id)).toEqual({ finished: true });
      expect(await refused(supply(id))).toBe('destruction.not-waiting');
    });

    it('opens no wrapping for a command that is refused, and is ended where its destruction is', async () => {
      const deeds: string[] = [];
      faults.supplyDestroyer = async ({ key }) => {
        deeds.push(`supplied ${key}`);
        return { seconds: 600, drop: async () => undefined };
      };
      faults.dismissDestroyer = async (key) => {
        deeds.push(`dismissed ${key}`);
      };
      const { id } = await world.destroy(family, [old]);
      const key = `${destructionStream(id)}/destroy`;
      const stale = new AskDestruction(
        world.context(world.approver),
        id,
        { type: 'supply-token', wrapped: new SecretValue('s.wrapped') },
        7,
      );
      await expect(new AskDestructionHandler(world.ledger, world.backEnds).execute(stale)).rejects.toThrow(
        WrongExpectedRevisionError,
      );
      expect(deeds).toEqual([]);
      await supply(id);
      await world.askDestruction(id, { type: 'reject', reason: 'not this one' }, world.approver);
      expect(deeds).toEqual([`supplied ${key}`, `dismissed ${key}`]);
    });

    it('is refused by the back end: nothing is on record', async () => {
      faults.supplyDestroyer = async () => {
        throw new BackendError('config', 'somebody has opened it already');
      };
      const { id } = await world.destroy(family, [old]);
      expect(await refused(supply(id))).toBe('destruction.token-refused');
      expect(await types(destructionStream(id))).toEqual(['DestructionRequested']);
    });
  });
});

describe('destroying by hand', () => {
  it('is attested after its approval, and the family learns it', async () => {
    const world = await World.open({ clock: new ManualClock('2026-03-02T09:00:00.000Z') });
    try {
      const { id: family } = await world.registerFamily({
        name: 'provider-key',
        algorithm: 'HS256',
        mode: 'attested',
        authority: { kind: 'nobody' },
      });
      const { history } = await world.ledger.family(family);
      const cause = {
        actor: 'system',
        correlationId: family,
        causationId: family,
        origin: { via: 'saga' },
      } as const;
      const seen = { versionId: 'v1', accepted: false, compromised: false, destroyed: false };
      await world.store.append(history, [{ type: 'VersionObserved', data: seen }], cause);
      const { id } = await world.destroy(family, ['v1']);
      await world.askDestruction(id, { type: 'approve' }, world.approver);
      expect(await world.runner.advanceDestruction(id)).toMatchObject({
        waitsFor: 'an attestation of destroy',
      });
      const attest = (evidence: object) =>
        world.askDestruction(id, { type: 'attest', attestation: { evidence } });
      await expect(attest({ note: 'done' })).rejects.toMatchObject({ code: 'attestation.no-evidence' });
      await attest({ link: 'https://change.example/7' });
      expect(await world.runner.advanceDestruction(id)).toEqual({ finished: true });
      expect((await world.family(family)).destroyed).toEqual(['v1']);
      expect((await world.family(family)).process).toBeUndefined();
    } finally {
      await world.close();
    }
  });
});
