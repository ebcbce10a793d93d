import { mkdtempSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '#platform';
import {
  milliseconds,
  planApply,
  readDeclarations,
  type FamilyView,
  type PolicyView,
  type RotationViewJson,
  shellWord,
} from '#rotation';
import { DemoClient } from './demo/demo-client.js';
import { Traffic, type Presented } from './demo/traffic.js';
import { exampleFile } from './demo/package-folder.js';
import { paintFor, terminalOf } from './terminal.js';
import { saveToken } from './token-file.js';
import { sinceStart, waitsForText } from './words.js';

export interface DemoOptions {
  /** End once everything was shown, instead of staying up. */
  readonly exit: boolean;
  readonly directory?: string;
  readonly port?: number;
}

const FAMILY = 'demo/Demo auth signing key';

interface Entry {
  readonly eventId: string;
  readonly at: string;
  readonly title: string;
  readonly detail: string;
  readonly minor?: boolean;
  readonly kind: string;
}

/**
 * The main job on one machine: a history imported, what is overdue, one graceful and one emergency rotation driven while
 * an emitter and two verifiers run, both records on paper. Everything goes over HTTP, as its users would meet it.
 */
export async function runDemo(options: DemoOptions): Promise<number> {
  const out = terminalOf(process.stdout);
  const paint = paintFor(out);
  const say = (text = ''): void => {
    out.write(`${text}\n`);
  };
  const title = (text: string): void => {
    say();
    say(paint(text, 'bold'));
  };
  const began = Date.now();
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'keyturn-demo-'));
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const config = {
    ...loadConfig({ KEYTURN_DATA_DIR: directory, KEYTURN_LOG: 'silent' }),
    port: options.port ?? (options.exit ? 0 : 7411),
  };
  const { serve, stopOnSignal } = await import('#service');
  let code = '';
  const serving = await serve(config, {
    onOneTimeSignIn: (given) => {
      code = given;
    },
  });
  const failures: string[] = [];
  const check = (holds: boolean, what: string): void => {
    say(`  ${holds ? paint('✓', 'green') : paint('✗', 'red')} ${what}`);
    if (!holds) failures.push(what);
  };
  try {
    say(paint('Keyturn demo', 'bold') + paint('  EXAMPLE DATA, a fresh directory, real keys', 'dim'));
    const first = await new DemoClient(serving.url, undefined).post<{ token: string; subject: string }>(
      '/api/v1/tokens/bootstrap',
      { code, name: 'Dana Demo (operator)' },
    );
    const dana = new DemoClient(serving.url, first.token);
    const second = await dana.post<{ token: string }>('/api/v1/tokens', {
      subject: { name: 'Alex Approver', kind: 'person' },
      roles: ['approver', 'viewer'],
      scope: { environments: 'all', teams: 'all' },
      label: 'demo approver',
    });
    const alex = new DemoClient(serving.url, second.token);
    saveToken({ dataDir: directory, url: serving.url }, first.token);

    title('1  A history is imported (examples/stockease.json)');
    const history = exampleFile('stockease.json');
    const imported = await dana.post<{ counts: Readonly<Record<string, number>> }>('/api/v1/imports', {
      name: 'stockease.json',
      content: readFileSync(history, 'utf8'),
    });
    say(
      `  ${Object.entries(imported.counts)
        .map(([name, count]) => `${count} ${name}`)
        .join(', ')}; provenance: imported`,
    );

    title('2  Policies and the illustrative families are applied');
    for (const file of ['stockease-policies.yaml', 'illustrative.yaml']) {
      const chunks = [readFileSync(exampleFile(file))];
      const { declared, errors } = await readDeclarations([{ name: file, format: 'yaml', chunks }]);
      if (errors.length > 0) throw new Error(JSON.stringify(errors));
      const [families, policies] = await Promise.all([
        dana.get<{ items: FamilyView[] }>('/api/v1/families?limit=500'),
        dana.get<{ items: PolicyView[] }>('/api/v1/policies'),
      ]);
      const current = { families: families.items, policies: policies.items };
      const plan = planApply(declared, current, Date.now());
      for (const { what, name, requests } of [...plan.policies, ...plan.families].flatMap(
        (each) => each.objects,
      )) {
        for (const { method, path, body } of requests) await dana.send(method, `/api/v1${path}`, body);
        if (requests.length > 0) say(paint(`  create ${what} ${name}`, 'dim'));
      }
    }
    const policies = await dana.get<{ items: PolicyView[] }>('/api/v1/policies');
    for (const policy of policies.items.filter(({ status }) => status === 'waits for approval')) {
      await alex.post(`/api/v1/policies/${policy.id}/approve`, { note: 'demo' });
      say(`  policy "${policy.name}" approved by Alex: an author never approves their own`);
    }

    title('3  What is overdue today');
    const overdue = await dana.get<{
      items: readonly {
        family: { qualifiedName: string } | null;
        what: string;
        status: string;
        due: string | null;
        overdueDays: number | null;
        provenance: string | null;
      }[];
    }>('/api/v1/schedule/overdue');
    for (const row of overdue.items) {
      const late = row.overdueDays === null ? '' : `, ${row.overdueDays} days late`;
      const due = row.due === null ? '' : `, due ${row.due.slice(0, 10)}${late}`;
      const known = row.provenance === null ? '' : paint(`  (${row.provenance})`, 'dim');
      say(
        `  ${paint(row.status.padEnd(13), row.status === 'overdue' ? 'red' : 'yellow')} ${row.family?.qualifiedName ?? row.what}${due}${known}`,
      );
    }

    title('4  A first key for the illustrative family, so that there is an old one');
    const family = await dana.get<FamilyView>(`/api/v1/families/${encodeURIComponent(FAMILY)}`);
    const lifeMs = milliseconds(family.artefactLife ?? undefined);
    const object = family.backEnd?.object ?? '';
    const verifiers = family.consumers
      .filter((consumer) => consumer.roles.includes('verifier'))
      .map((consumer) => ({ name: consumer.name, cacheMs: milliseconds(consumer.cacheTtl ?? undefined) }));
    const provisional = new Traffic({
      jwksUrl: `${serving.url}/jwks/${family.id}`,
      sign: () => Promise.reject(new Error('nothing emits yet')),
      lifeMs,
      verifiers,
    });
    const stage = { dana, alex, say, paint };
    await provisional.start();
    await drive(stage, provisional, family.id, {
      strategy: 'graceful',
      trigger: 'manual',
      reason: 'The first key of this family.',
    });
    provisional.stop();

    const traffic = new Traffic({
      jwksUrl: `${serving.url}/jwks/${family.id}`,
      sign: () =>
        serving.keyturn.backend.sign(
          object,
          { iss: 'demo-issuer', sub: 'nobody' },
          { lifetimeSeconds: lifeMs / 1_000 },
        ),
      lifeMs,
      verifiers,
    });
    await traffic.start();

    title('5  A graceful rotation, while an emitter signs and two verifiers verify');
    const graceful = await drive(stage, traffic, family.id, {
      strategy: 'graceful',
      trigger: 'scheduled',
      reason: 'The policy asks for a new key.',
    });
    const during = traffic.presented.splice(0);
    report(say, paint, during);

    title('6  An emergency: the key that signs now was committed to a public repository');
    const emergency = await drive(stage, traffic, family.id, {
      strategy: 'emergency',
      trigger: 'compromise',
      reason: 'The signing key was found in a public repository.',
      emergency: { incident: 'DEMO-1', contain: true },
    });
    const compromised = emergency.emergency?.compromisedVersions ?? [];
    const left = traffic.unexpired(compromised, Date.now());
    const last: Presented[] = [];
    for (const token of left.slice(-20)) last.push(...(await traffic.show(token)));
    await sleep(500);
    const afterwards = traffic.presented.splice(0);
    traffic.stop();

    title('7  On paper');
    const folder = join(directory, 'records');
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const pages: { readonly path: string; readonly pdf: Buffer }[] = [];
    for (const [name, rotation] of [
      ['graceful', graceful],
      ['emergency', emergency],
    ] as const) {
      const path = join(folder, `${name}-${rotation.id.slice(0, 8)}.pdf`);
      const pdf = await dana.bytes(`/api/v1/rotations/${rotation.id}/record.pdf`);
      writeFileSync(path, pdf, { mode: 0o600 });
      pages.push({ path, pdf });
      say(`  ${path}`);
    }

    title('What was checked');
    check(graceful.phase === 'completed', `the graceful rotation is completed (${graceful.phase})`);
    check(emergency.phase === 'completed', `the emergency is completed (${emergency.phase})`);
    const refused = during.filter((each) => !each.accepted);
    check(
      refused.length === 0 && during.length > 100,
      `no valid token was refused in the graceful rotation: ${refused.length} of ${during.length}`,
    );
    const kids = new Set(during.map((each) => each.token.kid));
    check(kids.size === 2, `tokens of the old and the new version were presented: ${kids.size} versions`);
    const bound = await trustBound(dana, emergency);
    const late = afterwards.filter(
      (each) => compromised.includes(each.token.kid) && each.at > bound && each.accepted,
    );
    const shownLate = afterwards.filter((each) => compromised.includes(each.token.kid) && each.at > bound);
    check(
      late.length === 0 && shownLate.length > 0,
      `every token by a compromised version was refused after the recorded bound: ${shownLate.length - late.length} of ${shownLate.length}`,
    );
    const fresh = afterwards.filter((each) => each.token.kid === emergency.incoming && each.at > bound);
    const newBound = await acceptBound(dana, emergency);
    const freshLate = fresh.filter((each) => each.at > newBound);
    check(
      freshLate.length > 0 && freshLate.every((each) => each.accepted),
      `tokens by the new version were accepted after its bound: ${freshLate.filter((each) => each.accepted).length} of ${freshLate.length}`,
    );
    for (const { path, pdf } of pages) {
      check(
        pdf.subarray(0, 5).toString() === '%PDF-' &&
          pdf.subarray(-1_024).toString('latin1').includes('%%EOF'),
        `${path.slice(path.lastIndexOf('/') + 1)} is a whole PDF (${pdf.length.toLocaleString('en')} bytes)`,
      );
    }
    say();
    say(`${((Date.now() - began) / 1_000).toFixed(0)} s in all.  Data: ${directory}`);
  } catch (error) {
    await serving.stop();
    throw error;
  }
  if (failures.length > 0) {
    say(paint(`${failures.length} checks failed`, 'red'));
    await serving.stop();
    return 1;
  }
  if (options.exit) {
    await serving.stop();
    return 0;
  }
  title('It keeps serving');
  say(`  ${serving.url}/api/docs    the API`);
  say(`  KEYTURN_DATA_DIR=${directory} KEYTURN_URL=${serving.url} npx keyturn status`);
  say(
    `  KEYTURN_DATA_DIR=${shellWord(directory)} KEYTURN_URL=${serving.url} npx keyturn replay ${shellWord(FAMILY)} --speed 5x`,
  );
  say(
    paint(
      '  The sign-in is kept in the data directory (cli-token, readable by you alone). Ctrl-C ends it.',
      'dim',
    ),
  );
  await stopOnSignal(serving);
  return 0;
}

interface Stage {
  readonly dana: DemoClient;
  readonly alex: DemoClient;
  readonly say: (text?: string) => void;
  readonly paint: ReturnType<typeof paintFor>;
}

/** Requests a rotation, approves it as somebody else, confirms for the consumers when asked, and shows what happens. */
async function drive(
  stage: Stage,
  traffic: Traffic,
  familyId: string,
  wish: unknown,
): Promise<RotationViewJson> {
  const { dana, alex, say, paint } = stage;
  const path = `/api/v1/families/${familyId}/rotations`;
  let rotation = await dana.post<RotationViewJson>(path, wish);
  const began = Date.now();
  const shown = new Set<string>();
  let waiting = '';
  for (;;) {
    const { entries } = await dana.get<{ entries: readonly Entry[] }>(
      `/api/v1/rotations/${rotation.id}/timeline`,
    );
    for (const entry of entries) {
      if (shown.has(entry.eventId)) continue;
      shown.add(entry.eventId);
      if (entry.minor === true) continue;
      const at = sinceStart(Date.parse(entry.at) - began);
      const detail = entry.detail.length > 96 ? `${entry.detail.slice(0, 95)}…` : entry.detail;
      say(
        `  ${paint(at.padEnd(9), 'dim')} ${paint(entry.title, entry.kind === 'failure' ? 'red' : 'cyan')}  ${paint(detail, 'dim')}`,
      );
    }
    rotation = await dana.get<RotationViewJson>(`/api/v1/rotations/${rotation.id}`);
    if (rotation.ended) return rotation;
    if (rotation.suspended !== null) throw new Error(`it needs a person: ${rotation.suspended.reason}`);
    if (rotation.waitsFor !== null && rotation.waitsFor !== waiting) {
      waiting = rotation.waitsFor;
      if (rotation.wakeAt !== null) say(paint(`            waits: ${waitsForText(waiting)}`, 'dim'));
    }
    if (rotation.phase === 'requested' && rotation.strategy === 'graceful') {
      await alex.post(`/api/v1/rotations/${rotation.id}/approve`, { note: 'demo' });
      continue;
    }
    for (const each of rotation.confirmations) {
      if (!each.missing || each.version === null) continue;
      const ready =
        each.kind === 'acceptance'
          ? ['accepting', 'emitting', 'revoked', 'watching'].includes(rotation.phase) &&
            traffic.knows(each.consumer, each.version)
          : ['emitting', 'draining', 'revoked', 'watching'].includes(rotation.phase);
      if (!ready) continue;
      await dana
        .post(`/api/v1/rotations/${rotation.id}/confirmations`, {
          kind: each.kind,
          consumer: each.consumer,
          version: each.version,
          instances: [`${each.consumer}-1`],
        })
        .catch((error: unknown) => {
          // It may have ended in the same moment; then nobody asks any more.
          if (!String(error).includes('rotation.ended')) throw error;
        });
    }
    if (Date.now() - began > 90_000)
      throw new Error(`it did not end: ${rotation.phase}, ${rotation.waitsFor ?? ''}`);
    await sleep(200);
  }
}

function report(say: Stage['say'], paint: Stage['paint'], presented: readonly Presented[]): void {
  const byKid = new Map<string, { shown: number; refused: number }>();
  for (const each of presented) {
    const count = byKid.get(each.token.kid) ?? { shown: 0, refused: 0 };
    count.shown += 1;
    if (!each.accepted) count.refused += 1;
    byKid.set(each.token.kid, count);
  }
  for (const [kid, { shown, refused }] of byKid) {
    say(paint(`  version ${kid.slice(0, 8)}: ${shown} verifications, ${refused} refused`, 'dim'));
  }
}

/** The recorded bound after which no verifier trusts a compromised version. */
async function trustBound(client: DemoClient, rotation: RotationViewJson): Promise<number> {
  const id = rotation.emergency?.containment;
  const containment =
    id === undefined || id === null
      ? undefined
      : await client.get<{ trustEndsAt: string | null }>(`/api/v1/containments/${id}`);
  const bounds = [rotation.trustEndsAt, containment?.trustEndsAt ?? null].flatMap((text) =>
    text === null ? [] : [Date.parse(text)],
  );
  if (bounds.length === 0) throw new Error('no bound was recorded');
  return Math.min(...bounds);
}

/** From when on every verifier of the plan knows the new version. */
async function acceptBound(client: DemoClient, rotation: RotationViewJson): Promise<number> {
  const { entries } = await client.get<{ entries: readonly (Entry & { type: string })[] }>(
    `/api/v1/rotations/${rotation.id}/timeline`,
  );
  const accepted = entries.find((entry) => entry.type === 'DualAcceptDeployed');
  return Date.parse(accepted?.at ?? '') + milliseconds(rotation.plan?.trustTerm);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
