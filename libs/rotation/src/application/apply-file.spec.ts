import { readFileSync } from 'node:fs';
import { recorded } from '#eventlog/testing';
import { derivedId } from '#platform';
import { familyDecider, type FamilyCommand, type FamilyState } from '../domain/family.decider.js';
import { consumerDetailsSchema, familyDetailsSchema, ownerSchema } from '../domain/family.events.js';
import { policyDecider, type PolicyState } from '../domain/policy.decider.js';
import { policyDetailsSchema } from '../domain/policy.events.js';
import {
  parseApplyFile,
  planApply,
  type ApplyOperation,
  type CurrentState,
  type DeclaredFile,
} from './apply-file.js';
import { familyView, policyView } from './views.js';

const NOW = Date.parse('2026-03-01T09:00:00.000Z');
const LOG = '4f0c1b1e-0000-4000-8000-00000000000a';
const NOTHING: CurrentState = { families: [], policies: [] };

function example(name: string): string {
  return readFileSync(new URL(`../../../../examples/${name}`, import.meta.url), 'utf8');
}

function declared(text: string): DeclaredFile {
  const reading = parseApplyFile(text, 'families.yaml');
  if (reading.declared === undefined) throw new Error(JSON.stringify(reading.errors));
  return reading.declared;
}

function problems(text: string): readonly string[] {
  return parseApplyFile(text, 'families.yaml').errors.map(({ line, field }) => `${line} ${field}`);
}

/** A service that does what it is asked, by the deciders alone. */
class Service {
  readonly #families = new Map<string, FamilyState>();
  readonly #policies = new Map<string, PolicyState>();

  get state(): CurrentState {
    return {
      families: [...this.#families.values()].flatMap((state) => familyView(state, 0) ?? []),
      policies: [...this.#policies.values()].flatMap((state) => policyView(state, 0, NOW) ?? []),
    };
  }

  perform(operations: readonly ApplyOperation[]): void {
    for (const operation of operations) this.#perform(operation);
  }

  #perform({ kind, body, path }: ApplyOperation): void {
    switch (kind) {
      case 'create-family': {
        const details = familyDetailsSchema.parse(body);
        const id = derivedId(LOG, details.environment, details.name);
        return this.#family(id, { type: 'RegisterFamily', details });
      }
      case 'revise-runbook':
        return this.#family(this.#idIn(path), { type: 'ReviseRunbook', runbook: Object(body) });
      case 'assign-owner':
        return this.#family(this.#idIn(path), { type: 'AssignOwner', owner: ownerSchema.parse(body) });
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
        const details = policyDetailsSchema.parse(body);
        const id = derivedId(LOG, 'policy', details.name);
        return this.#policy(id, { type: 'DefinePolicy', details, now: NOW });
      }
      case 'amend-policy': {
        const details = policyDetailsSchema.omit({ selector: true }).parse(body);
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
    const events = familyDecider
      .decide(command, state)
      .map((event) => recorded(event, { stream: `family-${id}` }));
    expect(events).not.toEqual([]);
    this.#families.set(id, events.reduce(familyDecider.evolve, state));
  }

  #policy(id: string, command: Parameters<typeof policyDecider.decide>[0]): void {
    const state = this.#policies.get(id) ?? policyDecider.initialState;
    const events = policyDecider
      .decide(command, state)
      .map((event) => recorded(event, { stream: `policy-${id}` }));
    expect(events).not.toEqual([]);
    this.#policies.set(id, events.reduce(policyDecider.evolve, state));
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

describe('the examples', () => {
  it.each(['illustrative.yaml', 'stockease-policies.yaml'])(
    '%s is applied, and applied again changes nothing',
    (name) => {
      const file = declared(example(name));
      const service = new Service();
      const first = planApply(file, service.state, NOW);
      expect(first.conflicts).toEqual([]);
      expect(first.unchanged).toEqual([]);
      service.perform(first.operations);
      const second = planApply(file, service.state, NOW + 86_400_000);
      expect(second.operations).toEqual([]);
      expect(second.unchanged.length).toBeGreaterThan(0);
    },
  );

  it('what is illustrative says so, everywhere', () => {
    const { families } = declared(example('illustrative.yaml'));
    expect(families.map(({ details }) => details.illustrative)).toEqual([true, true]);
    expect(families.map(({ details }) => details.environment)).toEqual(['demo', 'demo']);
  });
});

describe('planApply', () => {
  it('creates what is missing, what others need first', () => {
    const text = `${FAMILY}    runbook: { scope: all }
consumers:
  - { family: production/Session JWT, name: api, roles: [emitter] }
`;
    const { operations } = planApply(declared(text), NOTHING, NOW);
    expect(operations.map(({ line, method, path }) => [line, method, path])).toEqual([
      ['create family production/Session JWT', 'POST', '/families'],
      ['revise runbook of production/Session JWT', 'PUT', '/families/production%2FSession%20JWT/runbook'],
      [
        'register consumer api of production/Session JWT',
        'POST',
        '/families/production%2FSession%20JWT/consumers',
      ],
    ]);
    expect(operations[2]?.body).toEqual({
      name: 'api',
      roles: ['emitter'],
      neverRefreshes: false,
      thirdParty: false,
      instances: 1,
    });
  });

  it('changes what differs, says how, and leaves alone what the file does not name', () => {
    const service = new Service();
    const before = `${FAMILY}    runbook: { scope: all, storage: kv }
consumers:
  - { family: production/Session JWT, name: api, roles: [emitter, verifier], cacheTtl: PT10M }
  - { family: production/Session JWT, name: other, roles: [verifier] }
`;
    service.perform(planApply(declared(before), NOTHING, NOW).operations);
    const after = `${FAMILY.replace('platform lead, deputy: deputy lead', 'security lead')}    runbook: { scope: some }
consumers:
  - { family: production/Session JWT, name: api, roles: [verifier, emitter], deployPropagation: PT5M }
`;
    const plan = planApply(declared(after), service.state, NOW);
    expect(plan.operations.map(({ line, changes }) => [line, changes])).toEqual([
      ['revise runbook of production/Session JWT', ['scope: all → some']],
      ['assign owner of production/Session JWT', ['role: platform lead → security lead']],
      ['revise consumer api of production/Session JWT', ['deployPropagation: (nothing) → PT5M']],
    ]);
    service.perform(plan.operations);
    expect(service.state.families[0]).toMatchObject({
      owner: { role: 'security lead', deputy: 'deputy lead' },
      runbook: { scope: 'some', storage: 'kv' },
    });
    expect(service.state.families[0]?.consumers.map(({ name, cacheTtl }) => [name, cacheTtl])).toEqual([
      ['other', null],
      ['api', 'PT10M'],
    ]);
    expect(planApply(declared(after), service.state, NOW).operations).toEqual([]);
  });

  it('says what no request can change, and which family is not there', () => {
    const service = new Service();
    service.perform(planApply(declared(FAMILY), NOTHING, NOW).operations);
    const text = `${FAMILY.replace('protects: application-account', 'protects: ephi')}
consumers:
  - { family: production/Nobody, name: api, roles: [emitter] }
`;
    const plan = planApply(declared(text), service.state, NOW);
    expect(plan.conflicts.map(({ line, field }) => [line, field])).toEqual([
      [2, 'protects'],
      [15, 'family'],
    ]);
    expect(plan.operations).toEqual([]);
  });

  it('amends the policy with the same selector; an old effective-from is none', () => {
    const service = new Service();
    const text = example('stockease-policies.yaml');
    service.perform(planApply(declared(text), NOTHING, NOW).operations);
    const shorter = text
      .replace('stopEmitting: P90D', 'stopEmitting: P60D')
      .replace('  - name:', '  - effectiveFrom: 2025-01-01T00:00:00Z\n    name:');
    const [amend] = planApply(declared(shorter), service.state, NOW).operations;
    expect(amend).toMatchObject({
      kind: 'amend-policy',
      changes: ['terms.stopEmitting: P90D → P60D'],
      method: 'PUT',
      body: { effectiveFrom: '2026-03-01T09:00:00.000Z' },
    });
    expect(amend?.body).not.toHaveProperty('selector');
    service.perform(amend === undefined ? [] : [amend]);
    expect(planApply(declared(shorter), service.state, NOW).operations).toEqual([]);
    const future = shorter.replace('2025-01-01', '2027-01-01');
    expect(planApply(declared(future), service.state, NOW).operations[0]?.changes).toEqual([
      'effectiveFrom: 2026-03-01T09:00:00.000Z → 2027-01-01T00:00:00.000Z',
    ]);
  });
});

describe('a file that cannot be applied', () => {
  it('is told everything that is wrong, by line and field', () => {
    const text = `families:
  - name: A
    environment: Production
    kind: shared-secret
    protects: other
    usage: encrypt
    overlap: dual
    mode: tracked
    authority: { kind: nobody }
    owner: { rolle: lead }
    team: t
    artefactLife: 1 day
  - name: B
    environment: demo
    kind: asymmetric-key
    protects: other
    usage: sign
    overlap: dual
    mode: driven
    authority: { kind: nobody }
    owner: { role: lead }
    team: t
consumers:
  - { family: B, name: api, roles: [] }
policies: nothing
`;
    const { errors } = parseApplyFile(text, 'x.yaml');
    expect(errors.map(({ line, field }) => `${line} ${field}`)).toEqual([
      '3 families[0].environment',
      '6 families[0].usage',
      '10 families[0].owner.role',
      '10 families[0].owner.rolle',
      '12 families[0].artefactLife',
      '13 families[1].backEnd',
      '24 consumers[0].roles',
      '24 consumers[0].family',
      '25 policies',
    ]);
    expect(errors[1]?.message).toContain('withdrawing one makes old ciphertext unreadable');
    expect(errors[4]?.message).toContain('ISO 8601');
  });

  it('two declarations of one thing, also in two documents', () => {
    const family = FAMILY.replace('families:\n', '');
    const object = '    backEnd: { instance: local, object: a/b }\n';
    expect(problems(`${FAMILY}${family}`)).toEqual(['13 families[1].name']);
    expect(problems(`${FAMILY}---\n${FAMILY}`)).toEqual(['15 families[0].name']);
    expect(problems(`${FAMILY}${object}${family.replace('Session JWT', 'B')}${object}`)).toEqual([
      '25 families[1].backEnd.object',
    ]);
    const policy = example('stockease-policies.yaml').split('policies:\n')[1] ?? '';
    const twice = `policies:\n${policy}${policy.replace('name: StockEase', 'name: Other')}`;
    const reading = parseApplyFile(twice, 'x.yaml');
    expect(reading.errors).toHaveLength(1);
    expect(reading.errors[0]).toMatchObject({
      field: 'policies[1].selector',
      message: expect.stringContaining('selector of two policies'),
    });
    expect(problems(`consumers:\n${'  - { family: a/b, name: c, roles: [emitter] }\n'.repeat(2)}`)).toEqual([
      '3 consumers[1].name',
    ]);
  });

  it.each([
    ['a name that stands twice', 'families:\npolicies: []\npolicies: []\n', 3],
    ['an alias', 'families: &a []\npolicies: *a\n', 2],
    ['broken YAML', 'families:\n  - {name: "x\n', 3],
    ['a tab', 'families:\n\t- name: x\n', 2],
    ['a tag', 'families:\n  - name: !!binary aGVsbG8=\n', 2],
  ])('%s is told where, without quoting it', (_what, text, line) => {
    const { errors } = parseApplyFile(text, 'x.yaml');
    expect(errors.map((error) => error.line)).toContain(line);
    expect(JSON.stringify(errors)).not.toContain('aGVsbG8');
  });

  it('a secret value, without repeating it', () => {
    const value = 'hvs.CAESIJ0abcdefghijklmnop';
    const { errors } = parseApplyFile(`${FAMILY}    description: ${value}\n`, 'x.yaml');
    expect(errors).toEqual([
      { line: 13, field: 'families[0].description', message: expect.stringContaining('looks like secret') },
    ]);
    expect(JSON.stringify(errors)).not.toContain(value.slice(4));
  });

  it('a policy that stops accepting before it stops emitting', () => {
    const text = example('stockease-policies.yaml').replace('stopAccepting: P97D', 'stopAccepting: P30D');
    expect(parseApplyFile(text, 'x.yaml').errors[0]?.field).toBe('policies[0].terms.stopAccepting');
  });

  it('nothing at all', () => {
    expect(problems('')).toEqual(['1 ']);
    expect(problems('# only a comment\n---\nfamilies: []\n')).toEqual(['1 ']);
  });
});
