import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { X509Certificate } from 'node:crypto';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { isLoopback, plainIssues, unknownFields } from '#platform';
import { errorCode } from '../error-code.js';
import { DATABASE_INSTEAD, databaseConnection } from './database-settings.js';
import { backEndSchema, ENGINES, type BackEndSettings } from './engines.js';
import { vaultLoginSchema, type VaultLogin } from './vault-login.js';
import { pathProblem } from './vault-path.js';

/** The named back ends of an installation, as the file that KEYTURN_BACK_ENDS names says them (docs/back-ends.md). */

const LARGEST_BYTES = 1024 * 1024;

const path = z.string().superRefine((text, context) => {
  const problem = pathProblem(text);
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
});
const segment = path.refine((text) => !text.includes('/'), { error: 'must have no slash' });

const serverSchema = z
  .strictObject({
    address: z.string().refine(isOrigin, {
      error:
        'must be an https:// address without user, path and query, such as https://vault.example.com:8200',
    }),
    /** Said by whoever knows that nobody else is on the way. */
    plainHttp: z.boolean().default(false),
    namespace: path.optional(),
    caFile: z.string().min(1).optional(),
    documents: z.strictObject({ mount: path, folder: path }),
    login: vaultLoginSchema,
    probe: vaultLoginSchema.optional(),
    fence: z.strictObject({ role: segment, policies: z.array(segment).min(1).max(20) }),
  })
  .superRefine(({ address, plainHttp }, context) => {
    if (!isOrigin(address)) return;
    const { protocol, hostname } = new URL(address);
    if (protocol === 'https:' || plainHttp || isLoopback(hostname.replaceAll(/[[\]]/g, ''))) return;
    context.addIssue({
      code: 'custom',
      path: ['address'],
      message:
        'is http:// to another machine: tokens would cross the network in the clear. Use https://, or say plainHttp: true where nobody else is on the way',
    });
  });

const fileSchema = z.strictObject({
  servers: z.record(
    z.string().regex(/^[a-z0-9][a-z0-9.-]{0,63}$/, {
      error: 'must be named by small letters, digits, dots and hyphens',
    }),
    serverSchema,
  ),
  backEnds: z.array(backEndSchema).min(1),
});

const ELSEWHERE = 'is a secret, and stands in a file of its own that is named here: ';
const INSTEAD: Readonly<Record<string, string>> = {
  token: `${ELSEWHERE}login: { kind: token-file, file: … }`,
  secretId: `${ELSEWHERE}secretIdFile`,
  secret_id: `${ELSEWHERE}secretIdFile`,
  jwt: `${ELSEWHERE}login: { kind: jwt, role: …, file: … }`,
  password: `${ELSEWHERE}Keyturn logs in by AppRole, JWT or a token file`,
  tlsSkipVerify: 'is not known here: name who signed the certificate in caFile',
};

/** A token, a JWT, a private key. */
const SECRETS = [/\b(?:hv[sbr]|[sbr])\.[A-Za-z0-9_-]{20,}/, /\beyJ[\w-]+\.[\w-]+\./, /PRIVATE KEY-----/];
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export interface ServerSettings {
  readonly name: string;
  readonly address: URL;
  readonly namespace?: string;
  /** PEM. */
  readonly ca?: string;
  readonly documents: { readonly mount: string; readonly folder: string };
  /** Its files are absolute. */
  readonly login: VaultLogin;
  readonly probe?: VaultLogin;
  readonly fence: { readonly role: string; readonly policies: readonly string[] };
}

export interface BackEndsSettings {
  readonly servers: readonly ServerSettings[];
  readonly backEnds: readonly BackEndSettings[];
}

export interface BackEndsProblem {
  /** `servers.prod-eu.address`; empty: the file as a whole. */
  readonly field: string;
  /** What is wrong and what would be right; never the value. */
  readonly message: string;
}

/** The file cannot be used. Names every field that is wrong, never a value. */
export class BackEndsFileError extends Error {
  readonly code = 'back-ends.invalid';
  constructor(
    readonly file: string,
    readonly problems: readonly BackEndsProblem[],
  ) {
    super(
      problems
        .map(({ field, message }) => `${file}${field === '' ? '' : `, ${field}`}: ${message}`)
        .join('\n'),
    );
    this.name = 'BackEndsFileError';
  }
}

/** Reads the file, and the certificates it names; nothing is asked of a server. Relative names are relative to the file. */
export function readBackEnds(file: string): BackEndsSettings {
  const value = yamlIn(file);
  const problems: BackEndsProblem[] = secretsIn(value, []);
  const add = (at: readonly (string | number)[], message: string): void => {
    const field = fieldOf(at);
    // What is wrong with a field is said once.
    if (!problems.some((each) => each.field === field)) problems.push({ field, message });
  };
  const unknown = unknownFields(fileSchema, value, INSTEAD);
  const parsed = fileSchema.safeParse(value);
  for (const each of unknown) add(each.path, each.message);
  for (const issue of parsed.error?.issues ?? []) {
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) add([...issue.path.map(plainPart), key], insteadOf(issue.path, key));
    } else if (issue.code === 'invalid_union' && issue.errors.length === 0) {
      const last = issue.path.at(-1);
      add(
        issue.path.map(plainPart),
        last === 'engine' ? `must be ${ENGINES.join(' or ')}` : 'must be approle, jwt or token-file',
      );
    } else if (issue.code === 'invalid_key') {
      add(issue.path.map(plainPart), issue.issues[0]?.message ?? 'must have another name');
    } else for (const each of plainIssues(issue)) add(each.path, each.message);
  }
  if (parsed.data === undefined || problems.length > 0) throw new BackEndsFileError(file, problems);
  const { servers: named, backEnds: written } = parsed.data;
  requireApart(written, named, add);
  const folder = dirname(file);
  const certificates: Certificates = (at, caFile) =>
    caFile === undefined ? undefined : certificatesIn(resolve(folder, caFile), [...at, 'caFile'], add);
  const servers = Object.entries(named).map(([name, server]): ServerSettings => {
    const { address, namespace, caFile, documents, login, probe, fence } = server;
    const ca = certificates(['servers', name], caFile);
    return {
      name,
      address: new URL(address),
      documents,
      login: absolute(login, folder),
      fence,
      ...(namespace === undefined ? {} : { namespace }),
      ...(ca === undefined ? {} : { ca }),
      ...(probe === undefined ? {} : { probe: absolute(probe, folder) }),
    };
  });
  const backEnds = written.map((backEnd, index) => settingsOf(backEnd, ['backEnds', index], certificates));
  if (problems.length > 0) throw new BackEndsFileError(file, problems);
  return { servers, backEnds };
}

type Written = z.output<typeof backEndSchema>;
/** PEM of the file that a field names; `undefined`: none is named. */
type Certificates = (at: readonly (string | number)[], caFile: string | undefined) => string | undefined;

function settingsOf(
  backEnd: Written,
  at: readonly (string | number)[],
  certificates: Certificates,
): BackEndSettings {
  if (backEnd.engine !== 'database') return backEnd;
  const { connections, cadenceDays, strengthBits, ...named } = backEnd;
  return {
    ...named,
    connections: Object.fromEntries(
      Object.entries(connections).map(([name, connection]) => {
        const ca = certificates([...at, 'connections', name], connection.caFile);
        return [name, databaseConnection(connection, ca)];
      }),
    ),
    ...(cadenceDays === undefined ? {} : { cadenceDays }),
    ...(strengthBits === undefined ? {} : { strengthBits }),
  };
}

function insteadOf([at]: readonly PropertyKey[], field: string): string {
  const said = at === 'backEnds' ? { ...INSTEAD, ...DATABASE_INSTEAD } : INSTEAD;
  return (Object.hasOwn(said, field) ? said[field] : undefined) ?? 'is not known here';
}

type Add = (at: readonly (string | number)[], message: string) => void;

/** One name, one server, one engine on it: else one key would be two objects. */
function requireApart(
  backEnds: readonly Written[],
  servers: z.output<typeof fileSchema>['servers'],
  add: Add,
): void {
  const instances = new Map<string, number>();
  const engines = new Map<string, string>();
  for (const [index, backEnd] of backEnds.entries()) {
    const { instance, server: name } = backEnd;
    const engine = backEnd.engine === 'kv' ? `kv, laid out as ${backEnd.layout},` : backEnd.engine;
    const first = instances.get(instance);
    if (first !== undefined)
      add(['backEnds', index, 'instance'], `is the name of backEnds.${first} already: names are used once`);
    instances.set(instance, index);
    const server = Object.hasOwn(servers, name) ? servers[name] : undefined;
    if (server === undefined) {
      add(
        ['backEnds', index, 'server'],
        `must be one of the servers of this file: ${Object.keys(servers).join(', ')}`,
      );
      continue;
    }
    const where = `${new URL(server.address).origin} ${server.namespace ?? ''} ${engine}`;
    const other = engines.get(where);
    if (other !== undefined)
      add(
        ['backEnds', index],
        `is ${engine} on the same server and namespace as ${other}: one key would be two objects. Keep one of them`,
      );
    engines.set(where, instance);
  }
}

function yamlIn(file: string): unknown {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    const code = errorCode(error);
    throw new BackEndsFileError(file, [{ field: '', message: `cannot be read (${code})` }]);
  }
  const refuse = (message: string): BackEndsFileError =>
    new BackEndsFileError(file, [{ field: '', message }]);
  if (bytes.length > LARGEST_BYTES) throw refuse('must not be larger than 1 MiB');
  // Errors that quote the text would quote a secret that stands in it.
  const document = parseDocument(bytes.toString('utf8'), { prettyErrors: false, version: '1.2' });
  const [wrong] = [...document.errors, ...document.warnings];
  if (wrong !== undefined)
    throw refuse(
      wrong.code === 'DUPLICATE_KEY'
        ? 'must not hold a name twice'
        : `is not YAML (${wrong.code.toLowerCase().replaceAll('_', ' ')})`,
    );
  try {
    return document.toJS({ maxAliasCount: 0 });
  } catch {
    throw refuse('must not use aliases: write it out');
  }
}

function secretsIn(value: unknown, at: readonly (string | number)[]): BackEndsProblem[] {
  if (typeof value === 'string') {
    const field = fieldOf(at);
    const isFile = /(?:^|\.)(?:file|secretIdFile|caFile)$/.test(field);
    return SECRETS.some((shape) => shape.test(value)) || (isFile && UUID.test(value))
      ? [
          {
            field,
            message: isFile
              ? 'must name a file; what stands here looks like the secret itself'
              : 'looks like a secret: put it into a file of its own, and name that here',
          },
        ]
      : [];
  }
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]: [string, unknown]) => secretsIn(inner, [...at, name]));
}

function certificatesIn(file: string, at: readonly (string | number)[], add: Add): string | undefined {
  try {
    const pem = readFileSync(file, 'utf8');
    // Throws where there is none in it.
    return new X509Certificate(pem) instanceof X509Certificate ? pem : undefined;
  } catch (error) {
    const missing = errorCode(error) === 'ENOENT';
    add(
      at,
      missing
        ? 'names a file that is not there'
        : 'must name a file that can be read and holds the certificates of who signed the server’s, as PEM',
    );
    return undefined;
  }
}

function absolute(login: VaultLogin, folder: string): VaultLogin {
  return login.kind === 'approle'
    ? { ...login, secretIdFile: resolve(folder, login.secretIdFile) }
    : { ...login, file: resolve(folder, login.file) };
}

function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, pathname, search, hash } = new URL(text);
  return (
    ['http:', 'https:'].includes(protocol) &&
    [username, password, search, hash].every((part) => part === '') &&
    pathname === '/'
  );
}

function fieldOf(at: readonly (string | number)[]): string {
  return at.join('.');
}

function plainPart(part: PropertyKey): string | number {
  return typeof part === 'symbol' ? String(part) : part;
}
