import { z } from 'zod';
import type { Clock, SecretValue } from '#platform';
import { BackendError } from '../key-backend.js';
import type { BackEndFinding } from './back-end-finding.js';
import { checkPairs } from './check-database.js';
import { needsOf, type BackEndSettings } from './engines.js';
import { openServer, type Server } from './open-vault.js';
import type { BackEndsSettings } from './vault-config.js';
import type { Needs } from './vault-engine.js';

/** The server's clock and ours (contracts, Clocks). */
const TOLERANCE_MS = 30_000;
/** As long as the effects ask for. */
const ONCE_SECONDS = 20;

const capabilitiesSchema = z.record(z.string(), z.unknown());
const mountSchema = z.looseObject({ cas_required: z.boolean().default(false) });

/**
 * Looks at each server as Keyturn would use it: reached, unsealed, each login, what each token may do with the objects of families.
 * Changes nothing there; one token for one request is asked for, and dies unused.
 */
export async function checkBackEnds(
  settings: BackEndsSettings,
  objects: readonly { readonly instance: string; readonly object: string }[],
  clock: Clock,
): Promise<readonly BackEndFinding[]> {
  const found: BackEndFinding[] = [];
  for (const server of settings.servers) {
    const opened = openServer(server, clock);
    try {
      found.push(
        ...(await checkServer(opened, needsOn(server.name, settings, objects), clock, settings.backEnds)),
      );
      if (found.some(({ id }) => id === `back-end.${server.name}.login`))
        for (const backEnd of settings.backEnds)
          if (backEnd.server === server.name && backEnd.engine === 'database')
            found.push(...(await checkPairs(opened, backEnd, objectsOf(backEnd.instance, objects))));
    } finally {
      await opened.health.stop();
      await opened.client.close();
    }
  }
  return found;
}

function objectsOf(
  instance: string,
  objects: readonly { readonly instance: string; readonly object: string }[],
): readonly string[] {
  return objects.flatMap((each) => (each.instance === instance ? [each.object] : []));
}

function needsOn(
  server: string,
  { backEnds }: BackEndsSettings,
  objects: readonly { readonly instance: string; readonly object: string }[],
): readonly (Needs & { readonly object: string })[] {
  return backEnds
    .filter((backEnd) => backEnd.server === server)
    .flatMap((backEnd) =>
      objectsOf(backEnd.instance, objects).map((object) => ({ object, ...needsOf(backEnd, object) })),
    );
}

async function checkServer(
  server: Server,
  needs: readonly (Needs & { readonly object: string })[],
  clock: Clock,
  backEnds: BackEndsSettings['backEnds'],
): Promise<readonly BackEndFinding[]> {
  const { settings, health, identity } = server;
  const { name, documents } = settings;
  const id = (what: string): string => `back-end.${name}.${what}`;
  await health.look();
  const { state, reason = '', version = '' } = health.standing();
  if (state === 'sealed')
    return [
      {
        id: id('server'),
        state: 'problem',
        text: `the server ${name}: ${reason}`,
        mend: 'unseal it; until then its rotations wait, and what verifiers are served is what is kept here',
      },
    ];
  if (state !== 'answers')
    return [
      {
        id: id('server'),
        state: 'problem',
        text: `the server ${name} cannot be asked: ${reason}`,
        mend: `is it running, is servers.${name}.address right, and does caFile name who signed its certificate?`,
      },
    ];
  const found: BackEndFinding[] = [
    { id: id('server'), state: 'fine', text: `the server ${name} answers, version ${version}, unsealed` },
  ];
  const apart = Math.abs((await health.now()) - clock.now());
  if (apart > TOLERANCE_MS)
    found.push({
      id: id('clock'),
      state: 'problem',
      text: `the clocks of ${name} and of this machine differ by ${Math.round(apart / 1_000)} s`,
      mend: 'set both (NTP): emit, revoke and destroy wait until they agree',
    });
  const read = `${documents.mount}/data/${documents.folder}`;
  const paths = merged(
    needs.map(({ driver, object }) => ({
      ...driver,
      [`${read}/${object}`]: ['create', 'update', 'read'],
    })),
  );
  const engines = backEnds.flatMap((each) => (each.server === name ? [each.engine] : []));
  const policies = (who: Who): string => policiesOf(engines, who);
  const driver = await signedIn(server, 'login', 'signs in', () => identity.token(), paths, policies);
  found.push(...driver);
  if (driver.some(({ id: each }) => each === id('login.refused'))) return found;
  const own = settings.probe !== undefined;
  if (own) {
    const probes = merged(needs.map(({ probe }) => probe));
    found.push(
      ...(await signedIn(server, 'probe', 'signs in to probe', () => identity.probe(), probes, policies)),
    );
  }
  const fences = merged(needs.map(({ fence }) => fence));
  found.push(
    ...(await signedIn(
      server,
      'fence',
      'gets tokens for one request',
      () => identity.once(ONCE_SECONDS),
      fences,
      policies,
    )),
    await ofMount(server),
  );
  return found;
}

type Who = 'login' | 'probe' | 'fence';

const POLICIES: Readonly<Record<BackEndSettings['engine'], Readonly<Partial<Record<Who, string>>>>> = {
  transit: { login: 'transit-driver', fence: 'transit-fence', probe: 'transit-probe' },
  kv: { login: 'kv-driver' },
  database: { login: 'database-driver', fence: 'database-once', probe: 'database-probe' },
};

function policiesOf(engines: readonly BackEndSettings['engine'][], who: Who): string {
  const files = [...new Set(engines)].flatMap((engine) => POLICIES[engine][who] ?? []);
  return files.map((file) => `deploy/vault/${file}.hcl`).join(', ');
}

/** One login, and what it may do; `…refused` where there is none. */
async function signedIn(
  { settings: { name }, client, identity }: Server,
  what: Who,
  does: string,
  get: () => Promise<SecretValue>,
  wanted: Readonly<Record<string, readonly string[]>>,
  policies: (who: Who) => string,
): Promise<readonly BackEndFinding[]> {
  const id = `back-end.${name}.${what}`;
  try {
    const token = await get();
    const paths = Object.keys(wanted);
    if (paths.length === 0) return [{ id, state: 'fine', text: `Keyturn ${does} on ${name}` }];
    // One that is good for one request is used up before it is asked: the driver asks for it.
    const answer =
      what === 'fence'
        ? await client.effect('sys/capabilities', {
            method: 'POST',
            token: await identity.token(),
            body: { paths, token: token.reveal().toString('utf8') },
          })
        : await client.effect('sys/capabilities-self', { method: 'POST', token, body: { paths } });
    const has = capabilitiesSchema.parse(answer?.data);
    const missing = Object.entries(wanted).flatMap(([path, needed]) => {
      const given = z.array(z.string()).catch([]).parse(has[path]);
      const lacks = needed.filter((each) => !given.includes(each) && !given.includes('root'));
      return lacks.length === 0 ? [] : [`${lacks.join(', ')} on ${path}`];
    });
    if (missing.length === 0)
      return [{ id, state: 'fine', text: `Keyturn ${does} on ${name}, and may do there what it has to` }];
    const shown = missing.slice(0, 5).join('; ');
    const more = missing.length > 5 ? `; and ${missing.length - 5} more` : '';
    return [
      {
        id,
        state: 'problem',
        text: `Keyturn ${does} on ${name}, but lacks ${shown}${more}`,
        mend: `give it what stands in ${policies(what)}; deploy/vault/setup.sh writes the policies`,
      },
    ];
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    return [
      {
        id: `${id}.refused`,
        state: 'problem',
        text: error.message,
        mend:
          what === 'fence'
            ? 'make the token role as deploy/vault/setup.sh does, and let the driver use it'
            : 'see the text above; deploy/vault/setup.sh makes roles, policies and secret ids',
      },
    ];
  }
}

async function ofMount({ settings, client, identity }: Server): Promise<BackEndFinding> {
  const { name, documents } = settings;
  const id = `back-end.${name}.documents`;
  try {
    const answer = await client.read(`${documents.mount}/config`, { token: await identity.token() });
    const { cas_required: required } = mountSchema.parse(answer?.data);
    return required
      ? { id, state: 'fine', text: `${documents.mount} on ${name} takes no write without check-and-set` }
      : {
          id,
          state: 'warning',
          text: `${documents.mount} on ${name} takes writes without check-and-set: whoever else writes there may undo ours`,
          mend: `bao write ${documents.mount}/config cas_required=true`,
        };
  } catch (error) {
    if (!(error instanceof BackendError || error instanceof z.ZodError)) throw error;
    return {
      id,
      state: 'warning',
      text: `whether ${documents.mount} on ${name} asks for check-and-set cannot be seen`,
      mend: `is it a KV v2 mount, and may the driver read ${documents.mount}/config?`,
    };
  }
}

function merged(
  all: readonly Readonly<Record<string, readonly string[]>>[],
): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(all.flatMap((each) => Object.entries(each)));
}
