import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { ConfigError, isLoopback } from '#platform';
import { defineCommand } from '../define-command.js';
import { fine, notLookedAt, problem, type Finding } from '../doctor/finding.js';
import { lookAtBackEnds } from '../doctor/look-at-back-ends.js';
import { lookAtFiles } from '../doctor/look-at-files.js';
import { lookAtLog } from '../doctor/look-at-log.js';
import { lookAtService } from '../doctor/look-at-service.js';
import { EXIT } from '../exit-codes.js';
import { CliFailure, EndedOtherwise } from '../failures.js';
import { progressBar } from '../progress-bar.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';
import { paintFor, printable, type Style } from '../terminal.js';

/** As `engines` in package.json says. */
const OLDEST_NODE = [20, 19] as const;

const MARKS: Readonly<Record<Finding['state'], readonly [string, Style]>> = {
  fine: ['✔', 'green'],
  warning: ['!', 'yellow'],
  problem: ['✖', 'red'],
  'not-looked-at': ['-', 'dim'],
};

export function registerDoctor(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'doctor',
    summary: 'What is set up wrong, and how to mend it',
    about:
      'Looks at the environment, the files in KEYTURN_DATA_DIR (read only, beside a running service), the servers of\nKEYTURN_BACK_ENDS and the service, and reads every event of the log. Changes nothing. Ends with 0 where nothing is wrong, with 1 where something is;\nwarnings alone are 0.',
    examples: ['keyturn doctor', 'keyturn doctor --json'],
  }).action(async (options: CommonOptions) => {
    const findings = await examine(around, options);
    const problems = findings.filter(({ state }) => state === 'problem').length;
    const warnings = findings.filter(({ state }) => state === 'warning').length;
    if (options.json === true) {
      around.out.write(`${JSON.stringify({ problems, warnings, findings }, undefined, 2)}\n`);
    } else {
      const paint = paintFor(around.out);
      for (const { state, text, mend } of findings) {
        const [mark, style] = MARKS[state];
        around.out.write(`${paint(mark, style)} ${printable(text)}\n`);
        if (mend !== undefined) around.out.write(`    ${paint(printable(mend), 'cyan')}\n`);
      }
      around.out.write(`\n${problems} to mend, ${warnings} to look at.\n`);
    }
    if (problems > 0)
      throw new EndedOtherwise(
        problems === 1 ? 'Something is wrong.' : `${problems} things are wrong.`,
        EXIT.refused,
      );
  });
}

async function examine(around: Surroundings, options: CommonOptions): Promise<readonly Finding[]> {
  const found: Finding[] = [ofNode()];
  let session: Session;
  try {
    session = new Session(around, options, false);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    // Nothing else can be looked at where nobody knows where it is.
    return [
      ...found,
      ...error.problems.map(({ variable, message }) =>
        problem('environment', `${variable} ${message}`, `set ${variable} right, or unset it`),
      ),
    ];
  }
  const { config } = session;
  found.push(
    fine('environment', 'the environment can be used'),
    ofListening(config.host, config.trustedProxies),
  );
  let dataIsOpen = false;
  const objects: { readonly instance: string; readonly object: string }[] = [];
  if (existsSync(config.dataDir)) {
    const files = await lookAtFiles(config, session.now());
    dataIsOpen = files.some(
      ({ id, text }) =>
        id === 'lock' && text.endsWith('has the data directory open') && !text.startsWith('nobody'),
    );
    found.push(...files);
    const bar = progressBar(session, 'events read');
    try {
      found.push(
        ...(await lookAtLog(
          config,
          around,
          (done, total) => {
            bar.at(done, total);
          },
          (object) => {
            objects.push(object);
          },
        )),
      );
    } finally {
      bar.stop();
    }
  } else {
    found.push(
      notLookedAt(
        'data-dir',
        `there is no ${config.dataDir} on this machine: is KEYTURN_DATA_DIR right? The first keyturn serve makes it`,
      ),
    );
  }
  found.push(...(await lookAtBackEnds(config, objects, around.clock)));
  try {
    const service = await lookAtService(new Session(around, options), dataIsOpen);
    // Neither files nor a service: nothing at all was looked at, and that must not read as nothing being wrong.
    const nothing =
      !existsSync(config.dataDir) &&
      service.some(({ id, state }) => id === 'service' && state === 'not-looked-at');
    if (nothing) {
      const at = found.findIndex(({ id }) => id === 'data-dir');
      found[at] = problem(
        'data-dir',
        `there is no ${config.dataDir} on this machine, and no service answers`,
        'set KEYTURN_DATA_DIR (or KEYTURN_URL) right; or start the first one: keyturn serve makes it',
      );
    }
    found.push(...service);
  } catch (error) {
    // A token file that may not be used is a finding of its own already.
    if (!(error instanceof CliFailure)) throw error;
    found.push(notLookedAt('service', `the service was not asked: ${error.message}`));
  }
  return found;
}

function ofNode(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [wantedMajor, wantedMinor] = OLDEST_NODE;
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)
    ? fine('node', `Node ${process.versions.node}`)
    : problem(
        'node',
        `Node ${process.versions.node} is older than ${OLDEST_NODE.join('.')}`,
        'install Node 20.19 or newer',
      );
}

function ofListening(host: string, proxies: readonly string[]): Finding {
  if (isLoopback(host)) return fine('listening', `the service listens on ${host}: this machine only`);
  return fine('listening', `the service listens on ${host}; TLS ends at the proxy ${proxies.join(', ')}`);
}
