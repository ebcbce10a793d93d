import { Readable } from 'node:stream';
import type { Command } from 'commander';
import { systemClock, systemIds, loadConfig } from '#platform';
import { buildProgram } from './program.js';
import { run } from './testing/run-in.js';

const silent = { isTTY: false, columns: undefined, colours: false, write: () => undefined };
const program = buildProgram({
  out: silent,
  err: silent,
  input: {
    isTTY: false,
    ask: () => Promise.resolve(''),
    readAll: () => Promise.resolve(''),
    chunks: () => Readable.from([]),
  },
  config: () => loadConfig({}),
  clock: systemClock,
  ids: systemIds,
  interrupted: new AbortController().signal,
  sleep: () => Promise.resolve(),
});

/** Every command line that does something, such as `token create`. */
function leaves(command: Command, path: readonly string[] = []): readonly (readonly string[])[] {
  return command.commands.flatMap((each) => {
    const here = [...path, each.name()];
    return each.commands.length === 0 ? [here] : leaves(each, here);
  });
}
const commands = leaves(program);

describe('help', () => {
  it('knows the commands', () => {
    expect(commands.map((path) => path.join(' ')).sort()).toEqual(
      [
        'abandon',
        'authority',
        'consumer list',
        'consumer remove',
        'containment list',
        'containment show',
        'containment retry',
        'containment attest',
        'correct',
        'destruction list',
        'destruction show',
        'destruction token',
        'destruction reject',
        'destruction retry',
        'destruction attest',
        'exposure',
        'retire',
        'reviewed',
        'rotations',
        'whoami',
        'windows',
        'apply',
        'approve',
        'backup',
        'completion',
        'confirm',
        'contain',
        'custodian acknowledge',
        'custodian assign',
        'destroy',
        'left',
        'lift',
        'attest',
        'demo',
        'classify',
        'deviation approve',
        'deviation close',
        'deviation request',
        'doctor',
        'drift accept',
        'drift show',
        'emergency',
        'families',
        'freeze declare',
        'freeze lift',
        'freeze list',
        'holds confirm',
        'holds list',
        'hook test',
        'import',
        'local rekey',
        'note',
        'obligations',
        'overdue',
        'override',
        'pause',
        'policies',
        'rebuild',
        'reject',
        'replay',
        'report',
        'restore',
        'resume',
        'retry',
        'review',
        'rollback',
        'rotate',
        'runbook',
        'schedule',
        'serve',
        'standing grant',
        'standing list',
        'standing revoke',
        'status',
        'telemetry',
        'timeline',
        'token bootstrap',
        'token create',
        'token list',
        'token revoke',
      ].sort(),
    );
  });

  it.each(commands.map((path) => [path.join(' '), path] as const))(
    '%s teaches by an example of itself and can answer in JSON',
    async (name, path) => {
      // Help works where the environment does not.
      const { code, out, err } = await run([...path, '--help'], { env: { KEYTURN_PORT: 'x' } });
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(out).toMatch(/\nExamples?:\n/);
      expect(out).toContain(`$ keyturn ${name}`);
      expect(out).toContain('--json');
    },
  );

  it('documents the exit codes', async () => {
    const { code, out } = await run(['--help']);
    expect(code).toBe(0);
    for (const line of [
      '0    done',
      '1    refused',
      '2    wrong',
      '3    the service',
      '4    it ended',
      '130  inter',
    ]) {
      expect(out).toContain(line);
    }
  });

  it('says which one it is', async () => {
    expect((await run(['--version'])).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it('marks what must be given', async () => {
    expect((await run(['confirm', '--help'])).out.replaceAll(/\s+/g, ' ')).toContain(
      'name or id of the consumer (required)',
    );
  });
});

it('the example of a deviation keeps to the rule: what is accepted is accepted for at least as long as it emits', async () => {
  const { out } = await run(['deviation', '--help']);
  expect(out).toContain('--stop-emitting 180d --stop-accepting 200d');
});
