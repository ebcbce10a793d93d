import { z } from 'zod';
import { packageVersion, type Config } from '#platform';
import { ProblemError, UnavailableError } from '../failures.js';
import type { Session } from '../session.js';
import { tokenFor } from '../token-file.js';
import { fine, notLookedAt, problem, warning, type Finding } from './finding.js';

const ready = z.looseObject({
  status: z.string().optional(),
  integrity: z.string().nullish(),
  backEnds: z.record(z.string(), z.unknown()).optional(),
});

/** Whether a service answers, whether it is the same version, and whether it knows us. */
export async function lookAtService(
  { client, config }: Session,
  dataIsOpen: boolean,
): Promise<readonly Finding[]> {
  const { url } = config;
  let servers: readonly string[] = [];
  try {
    const { integrity, backEnds = {} } = await client.get('/../../health/ready', ready);
    servers = Object.keys(backEnds);
    if (typeof integrity === 'string') {
      return [
        problem(
          'service',
          `${url} answers: ${integrity}`,
          'keep the files, and restore a backup that holds the event',
        ),
        await ofToken(client, config),
      ];
    }
  } catch (error) {
    if (error instanceof ProblemError) {
      return [
        problem(
          'service',
          `${url} answers, but is not ready: ${error.problem.detail ?? error.problem.title}`,
          'wait a moment; if it stays so, read its log',
        ),
      ];
    }
    if (!(error instanceof UnavailableError)) throw error;
    return [
      dataIsOpen
        ? problem(
            'service',
            `a Keyturn has the data directory open, but ${url} does not answer`,
            'is KEYTURN_URL (or KEYTURN_PORT) the one it was started with?',
          )
        : notLookedAt('service', `no service answers at ${url}: start it with keyturn serve`),
    ];
  }
  return [
    fine('service', `${url} answers and is ready`),
    await ofToken(client, config),
    ...(servers.length === 0 || config.backEndsFile !== undefined
      ? []
      : [
          notLookedAt(
            'back-ends',
            `the servers of ${servers.join(', ')} were not asked: set KEYTURN_BACK_ENDS to the service’s file`,
          ),
        ]),
  ];
}

async function ofToken(client: Session['client'], config: Config): Promise<Finding> {
  if (tokenFor(config) === undefined) {
    return notLookedAt(
      'service.version',
      'not signed in, so its version was not asked: keyturn token bootstrap, or KEYTURN_TOKEN',
    );
  }
  try {
    const text = (await client.bytes('/../../metrics')).toString('utf8');
    const theirs = /^keyturn_build_info\{version="([^"]+)"\} 1$/m.exec(text)?.[1] ?? 'unknown';
    const ours = packageVersion();
    return theirs === ours
      ? fine('service.version', `it is version ${ours}, as this command line is`)
      : problem(
          'service.version',
          `the service is version ${theirs}, this command line ${ours}`,
          'use the command line of the service’s own version',
        );
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    return error.status === 401
      ? problem(
          'service.token',
          'the service does not know the token you are signed in with',
          'sign in again: keyturn token bootstrap, or KEYTURN_TOKEN',
        )
      : warning(
          'service.version',
          'your token may not ask for its version',
          'it needs metrics:read over everything (viewer)',
        );
  }
}
