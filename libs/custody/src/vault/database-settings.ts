import { isIP } from 'node:net';
import { z } from 'zod';
import { isLoopback } from '#platform';
import { pathProblem } from './vault-path.js';

/** What the file of KEYTURN_BACK_ENDS says of a back end of database pairs (docs/back-ends.md). */

const HOST_NAME = /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_-]+)*$/;
const POSTGRESQL_PORT = 5_432;
/** Bytes: PostgreSQL cuts longer names off. */
const LONGEST_DATABASE = 63;

const connectionSchema = z
  .strictObject({
    kind: z.literal('postgresql', { error: 'must be postgresql: logins to nothing else can be tried yet' }),
    host: z.string().refine((text) => isIP(text) !== 0 || HOST_NAME.test(text), {
      error: 'must be a host name or an address, such as db.example.com, without scheme, user and port',
    }),
    port: z.int().min(1).max(65_535).default(POSTGRESQL_PORT),
    /** One that the pairs' users may connect to. */
    database: z.string().min(1).max(LONGEST_DATABASE),
    caFile: z.string().min(1).optional(),
    /** Said by whoever knows that nobody else is on the way. */
    plainText: z.boolean().optional(),
  })
  .superRefine(({ caFile, plainText }, context) => {
    if (plainText !== true || caFile === undefined) return;
    context.addIssue({
      code: 'custom',
      path: ['plainText'],
      message: 'and caFile contradict each other: leave one of them out',
    });
  });

/** One name of the server's, `db_name` of the roles, to where the probe logs in. */
const connectionsSchema = z
  .record(
    z.string().refine((text) => pathProblem(text) === undefined && !text.includes('/'), {
      error: 'must be named as the server names its connection: the db_name of the roles',
    }),
    connectionSchema,
  )
  .refine((connections) => Object.keys(connections).length > 0, {
    error: 'must name a connection at least: a password is only known to be good after a login',
  });

export const databaseFields = {
  engine: z.literal('database'),
  connections: connectionsSchema,
  /** How often its families are rotated at the seldomest: their roles must not turn by themselves within ten times that. */
  cadenceDays: z.number().positive().max(3_650).optional(),
  /** Of the passwords that the server draws, where its connection has a password policy of its own. */
  strengthBits: z.int().min(1).max(4_096).optional(),
};

/** Where the probe logs in, and how the way there is kept. */
export interface DatabaseConnection {
  readonly kind: 'postgresql';
  readonly host: string;
  readonly port: number;
  readonly database: string;
  /** `undefined`: in the clear. Else verified TLS: by this authority (PEM), or by the system's. */
  readonly tls: { readonly ca?: string } | undefined;
}

export interface DatabaseSettings {
  readonly instance: string;
  readonly server: string;
  readonly engine: 'database';
  /** By the server's name of the connection. */
  readonly connections: Readonly<Record<string, DatabaseConnection>>;
  readonly cadenceDays?: number;
  readonly strengthBits?: number;
}

/** In the clear only on this machine, where nothing else is said, or where somebody says so. */
export function databaseConnection(
  { kind, host, port, database, caFile, plainText }: z.output<typeof connectionSchema>,
  ca: string | undefined,
): DatabaseConnection {
  const plain = plainText ?? (caFile === undefined && isLoopback(host));
  return { kind, host, port, database, tls: plain ? undefined : ca === undefined ? {} : { ca } };
}

/** What somebody may write of a database, and what is right in its place. */
export const DATABASE_INSTEAD: Readonly<Record<string, string>> = {
  password:
    'is a secret, and never stands here: the probe logs in with what the server shows of the role (static-creds)',
  user: 'is not known here: the probe logs in as the user of each role',
  username: 'is not known here: the probe logs in as the user of each role',
  connectionString: 'is not known here: write host, port and database',
  url: 'is not known here: write host, port and database',
  connection_url: 'is not known here: write host, port and database',
  ssl: 'is not known here: TLS is used and verified unless plainText: true says otherwise',
  sslmode: 'is not known here: TLS is used and verified unless plainText: true says otherwise',
};
