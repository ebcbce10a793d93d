import { inspect } from 'node:util';
import { ConfigError, loadConfig } from './config.js';

/** What the error says, or nothing. */
function refusal(env: Record<string, string>): string {
  try {
    loadConfig(env);
    return '';
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
}

describe('the configuration', () => {
  it('has a default for everything', () => {
    const config = loadConfig({});
    expect(config).toMatchObject({
      port: 7411,
      host: '127.0.0.1',
      trustedProxies: [],
      eventStore: 'sqlite',
      url: 'http://127.0.0.1:7411',
      log: 'json',
    });
    expect(config.dataDir).toMatch(/^\/.*\/\.keyturn$/);
    expect(config.masterKeyFile).toBe(`${config.dataDir}/master.key`);
    expect(Object.isFrozen(config)).toBe(true);
  });

  it('takes what is set and treats an empty variable as none', () => {
    const config = loadConfig({
      KEYTURN_DATA_DIR: '/srv/keyturn',
      KEYTURN_PORT: '0',
      KEYTURN_LOG: '',
      KEYTURN_URL: 'https://keyturn.example/',
      KEYTURN_EVENTSTORE: 'sqlite',
      PATH: '/bin',
    });
    expect(config).toMatchObject({
      dataDir: '/srv/keyturn',
      port: 0,
      log: 'json',
      url: 'https://keyturn.example',
    });
    expect(config.masterKeyFile).toBe('/srv/keyturn/master.key');
  });

  it('refuses a NODE_DEBUG that would print what passes through connections, and lets one stand that does not', () => {
    for (const sections of ['stream', 'http,net', '*', 'HTTP2', 'timer,undici', 'str*', 'fetch ', 'tls']) {
      expect(refusal({ NODE_DEBUG: sections })).toBe(
        'NODE_DEBUG makes Node print what passes through connections, and tokens and passwords with it: unset it (only esm, module, source_map, timer may stand there)',
      );
    }
    for (const sections of ['', 'timer', 'module, ESM']) expect(refusal({ NODE_DEBUG: sections })).toBe('');
  });

  it('keeps secrets where they cannot be printed', () => {
    const config = loadConfig({ KEYTURN_TOKEN: 'kt_canary', KEYTURN_MASTER_KEY: 'canary-key' });
    expect(config.token?.reveal().toString()).toBe('kt_canary');
    expect(`${JSON.stringify(config)}${inspect(config, { depth: 5 })}`).not.toContain('canary');
  });

  it.each([
    ['KEYTURN_PORT', '70000', 'KEYTURN_PORT must be a port'],
    ['KEYTURN_PORT', '1e3', 'KEYTURN_PORT must be a port'],
    ['KEYTURN_LOG', 'loud-canary', 'KEYTURN_LOG must be json, pretty or silent'],
    ['KEYTURN_EVENTSTORE', 'esdb://admin:canary@host', 'comes later'],
    ['KEYTURN_EVENTSTORE', 'postgres-canary', 'KEYTURN_EVENTSTORE must be sqlite'],
    ['KEYTURN_HOST', 'canary.example', 'KEYTURN_HOST must be an IP address'],
    ['KEYTURN_TRUSTED_PROXY', 'canary', 'KEYTURN_TRUSTED_PROXY must be IP addresses'],
    ['KEYTURN_TRUSTED_PROXY', '10.0.0.0/33', 'KEYTURN_TRUSTED_PROXY must be IP addresses'],
    ['KEYTURN_URL', 'https://user:canary@host', 'KEYTURN_URL must be'],
  ])('refuses %s=%s and never says the value', (variable, value, message) => {
    const said = refusal({ [variable]: value });
    expect(said).toContain(message);
    expect(said).not.toContain('canary');
    expect(said).not.toContain(value);
  });

  it('listens beyond this machine only behind a named proxy', () => {
    expect(refusal({ KEYTURN_HOST: '0.0.0.0' })).toContain('KEYTURN_TRUSTED_PROXY');
    expect(refusal({ KEYTURN_HOST: '::' })).toContain('KEYTURN_TRUSTED_PROXY');
    expect(refusal({ KEYTURN_HOST: '::1' })).toBe('');
    expect(refusal({ KEYTURN_HOST: '127.8.0.1' })).toBe('');
    const behind = loadConfig({ KEYTURN_HOST: '0.0.0.0', KEYTURN_TRUSTED_PROXY: '10.0.0.5, 10.1.0.0/16' });
    expect(behind.trustedProxies).toEqual(['10.0.0.5', '10.1.0.0/16']);
  });

  it('names the closest known variable, and all problems at once', () => {
    const said = refusal({ KEYTURN_DATADIR: '/x', KEYTURN_TOKENS: 'canary', KEYTURN_PORT: 'canary' });
    expect(said).toContain('KEYTURN_DATADIR is not known; did you mean KEYTURN_DATA_DIR?');
    expect(said).toContain('KEYTURN_TOKENS is not known; did you mean KEYTURN_TOKEN?');
    expect(said).toContain('KEYTURN_PORT must be');
    expect(said).not.toContain('canary');
  });

  it('refuses two master keys', () => {
    expect(refusal({ KEYTURN_MASTER_KEY: 'canary', KEYTURN_MASTER_KEY_FILE: '/k' })).toContain('both set');
  });
});

describe('the hook', () => {
  const secret = { KEYTURN_HOOK_SECRET: 'x'.repeat(24) };
  const problems = (env: Record<string, string>): readonly string[] => {
    try {
      loadConfig(env);
      return [];
    } catch (error) {
      const text = JSON.stringify(error) + String(error);
      for (const value of Object.values(env)) expect(text).not.toContain(value);
      return error instanceof ConfigError
        ? error.problems.map(({ variable }) => variable)
        : ['another error'];
    }
  };

  it('is a signed POST, or a command', () => {
    expect(loadConfig({ KEYTURN_HOOK_URL: 'https://hooks.example/x', ...secret }).hook).toMatchObject({
      kind: 'post',
    });
    expect(loadConfig({ KEYTURN_HOOK_COMMAND: '["/bin/page","--now"]' }).hook).toMatchObject({
      kind: 'command',
      argv: ['/bin/page', '--now'],
    });
    expect(loadConfig({}).hook).toBeUndefined();
  });

  it.each([
    [
      'plain HTTP to another machine',
      { KEYTURN_HOOK_URL: 'http://hooks.example/canary', ...secret },
      'KEYTURN_HOOK_URL',
    ],
    [
      'a user in the address',
      { KEYTURN_HOOK_URL: 'https://canary:pw@hooks.example/', ...secret },
      'KEYTURN_HOOK_URL',
    ],
    ['no secret', { KEYTURN_HOOK_URL: 'https://hooks.example/canary' }, 'KEYTURN_HOOK_URL'],
    [
      'two secrets',
      { KEYTURN_HOOK_URL: 'https://h.example/c', ...secret, KEYTURN_HOOK_SECRET_FILE: '/canary' },
      'KEYTURN_HOOK_SECRET',
    ],
    ['a secret for nothing', secret, 'KEYTURN_HOOK_SECRET'],
    [
      'two hooks',
      { KEYTURN_HOOK_URL: 'https://h.example/c', KEYTURN_HOOK_COMMAND: '["/bin/canary"]', ...secret },
      'KEYTURN_HOOK_COMMAND',
    ],
    ['a shell line', { KEYTURN_HOOK_COMMAND: '/bin/page --canary' }, 'KEYTURN_HOOK_COMMAND'],
    ['a relative program', { KEYTURN_HOOK_COMMAND: '["page canary"]' }, 'KEYTURN_HOOK_COMMAND'],
  ])('%s is refused by its variable, never by its value', (_name, env, variable) => {
    expect(problems(env)).toEqual([variable]);
  });
});
