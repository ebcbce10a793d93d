import { readdirSync, readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { recorded } from '#eventlog/testing';
import { derivedId } from '#platform';
import { familyDecider, type FamilyCommand, type FamilyState } from '../../domain/family.decider.js';
import {
  consumerDetailsSchema,
  familyDetailsSchema,
  ownerSchema,
  scheduleSchema,
} from '../../domain/family.events.js';
import { policyDecider, type PolicyState } from '../../domain/policy.decider.js';
import { policyDetailsSchema } from '../../domain/policy.events.js';
import { familyView, policyView } from '../views.js';
import type { Declarations } from './declared-things.js';
import { changeText } from './differences.js';
import { planApply, type ApplyPlan, type ApplyRequest, type CurrentState } from './plan-apply.js';
import { formatOf, readDeclarations } from './read-declarations.js';

const NOW = Date.parse('2026-03-01T09:00:00.000Z');
/** What the service writes where a policy does not say. */
const EFFECTIVE = '2026-03-01T09:00:00.000Z';
const LOG = '4f0c1b1e-0000-4000-8000-00000000000a';
const NOTHING: CurrentState = { families: [], policies: [] };

const EXAMPLES = new URL('../../../../../examples/', import.meta.url);

function example(name: string): string {
  return readFileSync(new URL(name, EXAMPLES), 'utf8');
}

async function declared(text: string, name = 'families.yaml'): Promise<Declarations> {
  const format = formatOf(name) ?? 'yaml';
  const reading = await readDeclarations([{ name, format, chunks: [Buffer.from(text)] }]);
  if (reading.errors.length > 0) throw new Error(JSON.stringify(reading.errors));
  return reading.declared;
}

function objectsOf({ policies, families }: ApplyPlan) {
  return [...policies, ...families].flatMap(({ objects }) => objects);
}

function requestsOf(plan: ApplyPlan): readonly ApplyRequest[] {
  return objectsOf(plan).flatMap(({ requests }) => requests);
}

/** A service that does what it is asked, by the deciders alone: each key once, and what is refused throws. */
class Service {
  readonly #families = new Map<string, FamilyState>();
  readonly #policies = new Map<string, PolicyState>();
  readonly #revisions = new Map<string, number>();
  readonly #keys = new Map<string, string>();
  /** Whether a request may find its wish fulfilled already, by another one that was under way. */
  overtaken = false;

  get state(): CurrentState {
    const revision = (id: string): number => this.#revisions.get(id) ?? -1;
    const byId = <Thing extends { readonly id: string }>(things: readonly Thing[]): readonly Thing[] =>
      [...things].sort((left, right) => (left.id < right.id ? -1 : 1));
    return {
      families: byId([...this.#families].flatMap(([id, state]) => familyView(state, revision(id)) ?? [])),
      policies: byId(
        [...this.#policies].flatMap(([id, state]) => policyView(state, revision(id), NOW) ?? []),
      ),
    };
  }

  /** How much was recorded. */
  get events(): number {
    return [...this.#revisions.values()].reduce((sum, revision) => sum + revision + 1, 0);
  }

  perform(requests: readonly ApplyRequest[]): void {
    for (const request of requests) {
      const asked = JSON.stringify([request.method, request.path, request.body]);
      const before = this.#keys.get(request.idempotencyKey);
      expect(before ?? asked).toBe(asked);
      if (before === undefined) this.#perform(request);
      this.#keys.set(request.idempotencyKey, asked);
    }
  }

  /** What `keyturn reviewed` does. */
  review(environment: string, name: string, nextReview: string): void {
    this.#family(derivedId(LOG, environment, name), {
      type: 'CompleteReview',
      summary: 'gone through',
      nextReview,
    });
  }

  #perform({ kind, body, path }: ApplyRequest): void {
    switch (kind) {
      case 'create-family': {
        const details = familyDetailsSchema.parse(body);
        const id = derivedId(LOG, details.environment, details.name);
        if (this.#families.has(id)) throw new Error('family.name-taken');
        return this.#family(id, { type: 'RegisterFamily', details });
      }
      case 'revise-runbook':
        return this.#family(this.#idIn(path), { type: 'ReviseRunbook', runbook: Object(body) });
      case 'assign-owner':
        return this.#family(this.#idIn(path), { type: 'AssignOwner', owner: ownerSchema.parse(body) });
      case 'set-schedule':
        return this.#family(this.#idIn(path), {
          type: 'SetSchedule',
          schedule: scheduleSchema.parse(body),
          stopEmitting: 'P90D',
        });
      case 'register-consumer':
      case 'revise-consumer': {
        const consumer = consumerDetailsSchema.parse(body);
        const consumerId = derivedId(LOG, 'consumer', consumer.name);
        return this.#family(this.#idIn(path), {
          type: 'RegisterConsumer',
          consumer: { ...consumer, consumerId },
        });
      }
      case 'define-policy': {
        const details = policyDetailsSchema.parse({ effectiveFrom: EFFECTIVE, ...Object(body) });
        const id = derivedId(LOG, 'policy', JSON.stringify(details.selector));
        if (this.#policies.has(id)) throw new Error('policy.selector-taken');
        return this.#policy(id, { type: 'DefinePolicy', details, now: NOW });
      }
      case 'amend-policy': {
        const given = { effectiveFrom: EFFECTIVE, ...Object(body) };
        const details = policyDetailsSchema.omit({ selector: true }).parse(given);
        return this.#policy(path.slice('/policies/'.length), { type: 'AmendPolicy', details, now: NOW });
      }
    }
  }

  #idIn(path: string): string {
    const [, , reference = ''] = path.split('/');
    const [environment, name] = decodeURIComponent(reference).split('/');
    return environment === undefined || name === undefined ? reference : derivedId(LOG, environment, name);
  }

  #family(id: string, command: FamilyCommand): void {
    const state = this.#families.get(id) ?? familyDecider.initialState;
    if (command.type !== 'RegisterFamily') expect(state.exists).toBe(true);
    const events = familyDecider
      .decide(command, state)
      .map((event) => recorded(event, { stream: `family-${id}` }));
    this.#count(id, events.length);
    this.#families.set(id, events.reduce(familyDecider.evolve, state));
  }

  #policy(id: string, command: Parameters<typeof policyDecider.decide>[0]): void {
    const state = this.#policies.get(id) ?? policyDecider.initialState;
    const events = policyDecider
      .decide(command, state)
      .map((event) => recorded(event, { stream: `policy-${id}` }));
    this.#count(id, events.length);
    this.#policies.set(id, events.reduce(policyDecider.evolve, state));
  }

  /** What is planned always changes something: a request that does nothing would be planned for ever. */
  #count(id: string, events: number): void {
    if (!this.overtaken) expect(events).toBeGreaterThan(0);
    this.#revisions.set(id, (this.#revisions.get(id) ?? -1) + events);
  }
}

const FAMILY = `families:
  - name: Session JWT
    environment: production
    kind: shared-secret
    algorithm: HS256
    protects: application-account
    usage: mac
    overlap: dual
    mode: tracked
    authority: { kind: nobody }
    owner: { role: platform lead, deputy: deputy lead }
    team: platform
`;

const MINIMAL = {
  environment: 'production',
  kind: 'shared-secret',
  protects: 'other',
  usage: 'mac',
  overlap: 'dual',
  mode: 'tracked',
  authority: { kind: 'nobody' },
  team: 'platform',
};
const POLICY = {
  terms: {
    stopAccepting: 'P97D',
    margins: { clockSkew: 'PT30S', safety: 'PT5M' },
    approvals: 1,
    settle: 'PT1H',
    watch: 'PT1H',
    emergency: { approvalWithin: 'P1D', reviewWithin: 'P1D', targets: [] },
  },
  basis: {
    setBy: 'the board',
    riskAnalysis: 'none',
    reviewedOn: '2026-01-01',
    nextReview: '2027-01-01',
  },
};

describe('the examples', () => {
  it.each(readdirSync(EXAMPLES).filter((name) => /\.(?:yaml|csv|ndjson)$/.test(name)))(
    '%s is applied, and applied again changes nothing',
    async (name) => {
      const service = new Service();
      // Consumers in a file of their own belong to families of another.
      const before = name === 'consumers.csv' ? ['families.csv', name] : [name];
      for (const each of before) {
        const plan = planApply(await declared(example(each), each), service.state, NOW);
        expect(plan.conflicts).toEqual([]);
        expect(objectsOf(plan).every(({ action }) => action === 'create')).toBe(true);
        expect(objectsOf(plan).length).toBeGreaterThan(0);
        service.perform(requestsOf(plan));
      }
      const again = planApply(await declared(example(name), name), service.state, NOW + 86_400_000);
      expect(requestsOf(again)).toEqual([]);
      expect(objectsOf(again).every(({ action }) => action === 'unchanged')).toBe(true);
    },
  );

  it('what is illustrative says so, everywhere', async () => {
    const { families } = await declared(example('illustrative.yaml'));
    expect(families.map(({ details }) => details.illustrative)).toEqual([true, true]);
    expect(families.map(({ details }) => details.environment)).toEqual(['demo', 'demo']);
  });

  it('one inventory says the same in each format', async () => {
    const csv = await readDeclarations(
      ['families.csv', 'consumers.csv'].map((name) => ({
        name,
        format: 'csv',
        chunks: [Buffer.from(example(name))],
      })),
    );
    expect(csv.errors).toEqual([]);
    const ndjson = await declared(example('inventory.ndjson'), 'inventory.ndjson');
    expect(csv.declared.families.map(({ details, aspects }) => ({ details, aspects }))).toEqual(
      ndjson.families.map(({ details, aspects }) => ({ details, aspects })),
    );
    expect(csv.declared.consumers.map(({ family, consumer }) => ({ family, consumer }))).toEqual(
      ndjson.consumers.map(({ family, consumer }) => ({ family, consumer })),
    );
    expect(csv.declared.consumers.length).toBeGreaterThan(0);
  });
});

describe('planApply', () => {
  it('creates what is missing, what others need first', async () => {
    const text = `${FAMILY}    runbook: { scope: all }
consumers:
  - { family: production/Session JWT, name: api, roles: [emitter] }
`;
    const plan = planApply(await declared(text), NOTHING, NOW);
    expect(requestsOf(plan).map(({ kind, method, path }) => [kind, method, path])).toEqual([
      ['create-family', 'POST', '/families'],
      ['revise-runbook', 'PUT', '/families/production%2FSession%20JWT/runbook'],
      ['register-consumer', 'POST', '/families/production%2FSession%20JWT/consumers'],
    ]);
    expect(requestsOf(plan)[2]?.body).toEqual({
      name: 'api',
      roles: ['emitter'],
      neverRefreshes: false,
      thirdParty: false,
      instances: 1,
    });
    // One after the other: a family before its consumers.
    expect(plan.families).toHaveLength(1);
    expect(objectsOf(plan).map(({ what, name, place }) => [what, name, place.line])).toEqual([
      ['family', 'production/Session JWT', 2],
      ['consumer', 'api of production/Session JWT', 15],
    ]);
  });

  it('sets a schedule, from every format alike, again only where it differs, and prunes none of it', async () => {
    const calendar = { nth: 2, weekday: 'thursday', of: 'month', at: '02:00', timeZone: 'Europe/Vienna' };
    const blackouts = [
      { from: '2026-11-20T00:00:00.000Z', to: '2026-12-27T00:00:00.000Z', reason: 'the season' },
    ];
    const yaml = await declared(`${FAMILY}    schedule:
      calendar: { nth: 2, weekday: thursday, of: month, at: "02:00", timeZone: Europe/Vienna }
      blackouts:
        - { from: "2026-11-20T00:00:00.000Z", to: "2026-12-27T00:00:00.000Z", reason: the season }
`);
    const family = { ...MINIMAL, owner: { role: 'platform lead' }, name: 'Session JWT' };
    const schedule = { calendar, blackouts };
    const lines = await declared(JSON.stringify({ family: { ...family, schedule } }), 'families.ndjson');
    const csv = await declared(
      `environment,name,kind,protects,usage,overlap,mode,authority.kind,owner.role,team,schedule.calendar.nth,schedule.calendar.weekday,schedule.calendar.of,schedule.calendar.at,schedule.calendar.timeZone,schedule.blackouts
production,Session JWT,shared-secret,other,mac,dual,tracked,nobody,platform lead,platform,2,thursday,month,02:00,Europe/Vienna,"${JSON.stringify(blackouts).replaceAll('"', '""')}"
`,
      'families.csv',
    );
    for (const from of [yaml, lines, csv]) {
      expect(from.families.map(({ aspects }) => aspects)).toEqual([{ schedule }]);
    }
    const service = new Service();
    const plan = planApply(yaml, NOTHING, NOW);
    expect(requestsOf(plan).at(-1)).toMatchObject({
      kind: 'set-schedule',
      method: 'PUT',
      path: '/families/production%2FSession%20JWT/schedule',
      body: schedule,
    });
    service.perform(requestsOf(plan));
    expect(requestsOf(planApply(yaml, service.state, NOW))).toEqual([]);
    // Another hour: the blackouts, which this file does not name, stay.
    const moved = planApply(
      await declared(`${FAMILY}    schedule:
      calendar: { nth: last, weekday: thursday, of: month, at: "03:00", timeZone: Europe/Vienna }
`),
      service.state,
      NOW,
    );
    expect(objectsOf(moved)[0]?.changes.map((change) => `${change.field}: ${changeText(change)}`)).toEqual([
      'schedule.calendar.nth: 2 → last',
      'schedule.calendar.at: 02:00 → 03:00',
    ]);
    service.perform(requestsOf(moved));
    expect(service.state.families[0]?.schedule).toEqual({
      calendar: { ...calendar, nth: 'last', at: '03:00' },
      blackouts,
    });
    // A file without a schedule says nothing of it.
    expect(requestsOf(planApply(await declared(FAMILY), service.state, NOW))).toEqual([]);
  });

  it('changes what differs, says how, and leaves alone what the file does not name', async () => {
    const service = new Service();
    const before = `${FAMILY}    runbook: { scope: all, storage: kv }
${FAMILY.replace('families:\n', '').replace('Session JWT', 'Other')}consumers:
  - { family: production/Session JWT, name: api, roles: [emitter, verifier], cacheTtl: PT10M }
  - { family: production/Session JWT, name: other, roles: [verifier] }
`;
    service.perform(requestsOf(planApply(await declared(before), NOTHING, NOW)));
    const after =
      await declared(`${FAMILY.replace('platform lead, deputy: deputy lead', 'security lead')}    runbook: { scope: some }
consumers:
  - { family: production/Session JWT, name: api, roles: [verifier, emitter], deployPropagation: PT5M }
`);
    const plan = planApply(after, service.state, NOW);
    expect(
      objectsOf(plan).map(({ name, action, changes }) => [
        name,
        action,
        changes.map((change) => `${change.field}: ${changeText(change)}`),
      ]),
    ).toEqual([
      [
        'production/Session JWT',
        'change',
        ['runbook.scope: all → some', 'owner.role: platform lead → security lead'],
      ],
      ['api of production/Session JWT', 'change', ['deployPropagation: (nothing) → PT5M']],
    ]);
    expect(plan.summary).toEqual({
      policies: { create: 0, change: 0, unchanged: 0, notInFile: 0 },
      families: { create: 0, change: 1, unchanged: 0, notInFile: 1 },
      consumers: { create: 0, change: 1, unchanged: 0, notInFile: 1 },
    });
    service.perform(requestsOf(plan));
    const family = service.state.families.find(({ name }) => name === 'Session JWT');
    expect(family).toMatchObject({
      owner: { role: 'security lead', deputy: 'deputy lead' },
      runbook: { scope: 'some', storage: 'kv' },
    });
    expect(family?.consumers.map(({ name, cacheTtl }) => [name, cacheTtl])).toEqual([
      ['other', null],
      ['api', 'PT10M'],
    ]);
    expect(service.state.families).toHaveLength(2);
    expect(requestsOf(planApply(after, service.state, NOW))).toEqual([]);
  });

  it('does not ask again for a review that was done since; another date in the file is a change', async () => {
    const service = new Service();
    const withReview = (date: string): string =>
      `${FAMILY}    runbook: { scope: all, nextReview: ${date} }\n`;
    const files = await declared(withReview('2026-12-01'));
    service.perform(requestsOf(planApply(files, NOTHING, NOW)));
    for (const nextReview of ['2027-12-01', '2028-12-01']) {
      service.review('production', 'Session JWT', nextReview);
      expect(requestsOf(planApply(files, service.state, NOW))).toEqual([]);
    }
    const [family] = service.state.families;
    expect(family).toMatchObject({
      runbook: { nextReview: '2028-12-01' },
      lastReview: { declaredDue: '2026-12-01' },
    });
    // Another field of the same runbook goes through and takes no date with it.
    const scoped = await declared(withReview('2026-12-01').replace('scope: all', 'scope: some'));
    service.perform(requestsOf(planApply(scoped, service.state, NOW)));
    expect(service.state.families[0]?.runbook).toMatchObject({ scope: 'some', nextReview: '2028-12-01' });
    expect(requestsOf(planApply(scoped, service.state, NOW))).toEqual([]);
    const sooner = await declared(withReview('2027-06-01').replace('scope: all', 'scope: some'));
    service.perform(requestsOf(planApply(sooner, service.state, NOW)));
    expect(service.state.families[0]).toMatchObject({
      runbook: { nextReview: '2027-06-01' },
      lastReview: null,
    });
    expect(requestsOf(planApply(sooner, service.state, NOW))).toEqual([]);
  });

  it('says what no request can change, and which family is not there', async () => {
    const service = new Service();
    service.perform(requestsOf(planApply(await declared(FAMILY), NOTHING, NOW)));
    const text = `${FAMILY.replace('protects: application-account', 'protects: ephi')}
consumers:
  - { family: production/Nobody, name: api, roles: [emitter] }
`;
    const plan = planApply(await declared(text), service.state, NOW);
    expect(plan.conflicts.map(({ file, line, field }) => [file, line, field])).toEqual([
      ['families.yaml', 2, 'protects'],
      ['families.yaml', 15, 'family'],
    ]);
    expect(requestsOf(plan)).toEqual([]);
  });

  it('amends the policy with the same selector; an old effective-from is none', async () => {
    const service = new Service();
    const text = example('stockease-policies.yaml');
    service.perform(requestsOf(planApply(await declared(text), NOTHING, NOW)));
    const shorter = text
      .replace('stopEmitting: P90D', 'stopEmitting: P60D')
      .replace('  - name:', '  - effectiveFrom: 2025-01-01T00:00:00Z\n    name:');
    const [amend] = objectsOf(planApply(await declared(shorter), service.state, NOW));
    expect(amend).toMatchObject({
      action: 'change',
      changes: [{ field: 'terms.stopEmitting', from: 'P90D', to: 'P60D' }],
      requests: [{ kind: 'amend-policy', method: 'PUT' }],
    });
    expect(amend?.requests[0]?.body).not.toHaveProperty('selector');
    // When it is recorded is when it is effective: the service says it.
    expect(amend?.requests[0]?.body).not.toHaveProperty('effectiveFrom');
    service.perform(amend?.requests ?? []);
    expect(requestsOf(planApply(await declared(shorter), service.state, NOW))).toEqual([]);
    const future = shorter.replace('2025-01-01', '2027-01-01');
    expect(objectsOf(planApply(await declared(future), service.state, NOW))[0]?.changes).toEqual([
      { field: 'effectiveFrom', from: '2026-03-01T09:00:00.000Z', to: '2027-01-01T00:00:00.000Z' },
    ]);
  });

  it('a policy keeps its selector: another one under its name would leave two', async () => {
    const service = new Service();
    const text = example('stockease-policies.yaml');
    service.perform(requestsOf(planApply(await declared(text), NOTHING, NOW)));
    const moved = text.replace('environment: production', 'environment: staging');
    const plan = planApply(await declared(moved), service.state, NOW);
    expect(plan.conflicts).toMatchObject([
      { line: 9, field: 'selector', message: expect.stringContaining('retire that one first') },
    ]);
    expect(requestsOf(plan)).toEqual([]);
    const named = moved.replace('name: StockEase shared secrets', 'name: Staging');
    expect(planApply(await declared(named), service.state, NOW).summary.policies).toEqual({
      create: 1,
      change: 0,
      unchanged: 0,
      notInFile: 1,
    });
  });

  it('a policy keeps its name: another one over the same selector is refused, and names who has it', async () => {
    const service = new Service();
    const text = example('stockease-policies.yaml');
    service.perform(requestsOf(planApply(await declared(text), NOTHING, NOW)));
    const other = text.replace('name: StockEase shared secrets, 90 days', 'name: Team B');
    const plan = planApply(await declared(other), service.state, NOW);
    expect(plan.conflicts).toMatchObject([
      { line: 9, field: 'selector', message: expect.stringContaining('"StockEase shared secrets, 90 days"') },
    ]);
    expect(requestsOf(plan)).toEqual([]);
    expect(plan.summary.policies).toMatchObject({ create: 0, change: 0 });
    // A retired one has left its selector free.
    const [policy, ...more] = service.state.policies;
    if (policy === undefined) throw new Error('there is no policy');
    const retired = { families: [], policies: [{ ...policy, status: 'retired' as const }, ...more] };
    expect(planApply(await declared(other), retired, NOW).conflicts).toEqual([]);
  });

  it('what is asked again of another state is another request', async () => {
    const service = new Service();
    service.perform(requestsOf(planApply(await declared(FAMILY), NOTHING, NOW)));
    const other = await declared(FAMILY.replace('platform lead', 'security lead'));
    const same = await declared(FAMILY);
    const [first] = requestsOf(planApply(other, service.state, NOW));
    expect(requestsOf(planApply(other, service.state, NOW + 1_000))[0]?.idempotencyKey).toBe(
      first?.idempotencyKey,
    );
    service.perform(requestsOf(planApply(other, service.state, NOW)));
    service.perform(requestsOf(planApply(same, service.state, NOW)));
    // Back where it was, and wanted anew: with the first key nothing would be done.
    service.perform(requestsOf(planApply(other, service.state, NOW)));
    expect(service.state.families[0]?.owner.role).toBe('security lead');
  });
});

describe('laws', () => {
  const family = fc.record({
    name: fc.constantFrom('a', 'b', 'c', 'd'),
    role: fc.constantFrom('lead', 'other lead'),
    scope: fc.option(fc.constantFrom('one', 'two'), { nil: undefined }),
    consumers: fc.uniqueArray(
      fc.record({ name: fc.constantFrom('x', 'y', 'z'), cacheTtl: fc.constantFrom('PT1M', 'PT2M') }),
      { selector: ({ name }) => name, maxLength: 3 },
    ),
  });
  const policy = fc.record({
    environment: fc.constantFrom('production', 'staging'),
    stopEmitting: fc.constantFrom('P30D', 'P60D'),
  });
  const file = fc
    .record({
      families: fc.uniqueArray(family, { selector: ({ name }) => name, maxLength: 4 }),
      policies: fc.uniqueArray(policy, { selector: ({ environment }) => environment, maxLength: 2 }),
    })
    .filter(({ families, policies }) => families.length + policies.length > 0)
    .map(({ families, policies }) => [
      ...policies.map(({ environment, stopEmitting }) => ({
        policy: {
          ...POLICY,
          name: environment,
          selector: { environment },
          terms: { ...POLICY.terms, stopEmitting },
        },
      })),
      ...families.map(({ name, role, scope }) => ({
        family: {
          ...MINIMAL,
          name,
          owner: { role },
          ...(scope === undefined ? {} : { runbook: { scope } }),
        },
      })),
      ...families.flatMap(({ name, consumers }) =>
        consumers.map((consumer) => ({
          consumer: { family: `production/${name}`, roles: ['verifier'], ...consumer },
        })),
      ),
    ]);
  const read = (entries: readonly unknown[]): Promise<Declarations> =>
    declared(entries.map((entry) => JSON.stringify(entry)).join('\n'), 'x.ndjson');

  it('whatever was there: applied twice is applied once, and nothing is ever removed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(file, { maxLength: 2 }), file, async (earlier, wanted) => {
        const service = new Service();
        for (const each of earlier) {
          service.perform(requestsOf(planApply(await read(each), service.state, NOW)));
        }
        const before = service.state;
        const plan = planApply(await read(wanted), service.state, NOW);
        expect(plan.conflicts).toEqual([]);
        service.perform(requestsOf(plan));
        const { events } = service;
        const again = planApply(await read(wanted), service.state, NOW);
        expect(requestsOf(again)).toEqual([]);
        service.perform(requestsOf(plan));
        expect(service.events).toBe(events);
        const names = (state: CurrentState): readonly string[] => [
          ...state.policies.map(({ id }) => id),
          ...state.families.flatMap(({ id, consumers }) => [
            id,
            ...consumers.map((each) => `${id} ${each.id}`),
          ]),
        ];
        expect(names(service.state)).toEqual(expect.arrayContaining([...names(before)]));
        for (const counts of Object.values(again.summary)) {
          expect(counts).toMatchObject({ create: 0, change: 0 });
        }
      }),
      { numRuns: 60 },
    );
  });

  it('cut off anywhere, and applied again, is the whole of it', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.option(file, { nil: undefined }),
        file,
        fc.array(fc.nat({ max: 6 }), { minLength: 8, maxLength: 8 }),
        fc.constantFrom('in time', 'before the rest', 'at the end', 'never'),
        async (earlier, wanted, cuts, arrives) => {
          const [whole, partly] = [new Service(), new Service()];
          for (const service of [whole, partly]) {
            if (earlier === undefined) continue;
            service.perform(requestsOf(planApply(await read(earlier), service.state, NOW)));
          }
          whole.perform(requestsOf(planApply(await read(wanted), whole.state, NOW)));
          // Chains are sent side by side, so each may be cut off somewhere else.
          const plan = planApply(await read(wanted), partly.state, NOW);
          const sent = [...plan.policies, ...plan.families].map(({ objects }, index) =>
            objects.flatMap(({ requests }) => requests).slice(0, cuts[index]),
          );
          for (const requests of sent) partly.perform(requests.slice(0, -1));
          const last = sent.flatMap((requests) => requests.slice(-1));
          if (arrives === 'in time') partly.perform(last);
          const resumed = planApply(await read(wanted), partly.state, NOW + 60_000);
          partly.overtaken = true;
          // What was sent last may arrive as late as it likes, or never.
          if (arrives === 'before the rest') partly.perform(last);
          partly.perform(requestsOf(resumed));
          if (arrives === 'at the end') partly.perform(last);
          expect(partly.state).toEqual(whole.state);
          expect(partly.events).toBe(whole.events);
        },
      ),
      { numRuns: 60 },
    );
  });
});
