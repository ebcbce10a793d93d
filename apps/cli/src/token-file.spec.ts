import { chmodSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig } from '#platform';
import { ownFolder } from './testing/own-folder.js';
import { UsageError } from './failures.js';
import { saveToken, tokenFileOf, tokenFor } from './token-file.js';

function configOf(url = 'http://127.0.0.1:7411', more: Readonly<Record<string, string>> = {}) {
  const dataDir = join(ownFolder(), 'data');
  return loadConfig({ KEYTURN_DATA_DIR: dataDir, KEYTURN_URL: url, ...more });
}
const textOf = (config: ReturnType<typeof configOf>) => tokenFor(config)?.reveal().toString('utf8');

describe('the saved token', () => {
  it('is readable by its owner only, also where a wider file was there before', () => {
    const config = configOf();
    saveToken(config, 'kt_one');
    chmodSync(tokenFileOf(config), 0o644);
    saveToken(config, 'kt_two');
    expect(statSync(tokenFileOf(config)).mode & 0o777).toBe(0o600);
    expect(textOf(config)).toBe('kt_two');
  });

  it('is not used once others can read it', () => {
    const config = configOf();
    saveToken(config, 'kt_one');
    chmodSync(tokenFileOf(config), 0o640);
    expect(() => tokenFor(config)).toThrow(UsageError);
  });

  it('goes to the service it is for, and to no other', () => {
    const config = configOf();
    saveToken(config, 'kt_one');
    expect(textOf({ ...config, url: 'https://keyturn.example' })).toBeUndefined();
    expect(textOf({ ...config, url: 'http://127.0.0.1:7412' })).toBeUndefined();
  });

  it('without a service goes to this machine only', () => {
    const config = configOf();
    saveToken(config, 'kt_one');
    writeFileSync(tokenFileOf(config), 'kt_bare\n');
    expect(textOf(config)).toBe('kt_bare');
    expect(textOf({ ...config, url: 'https://keyturn.example' })).toBeUndefined();
  });

  it('gives way to KEYTURN_TOKEN; without either there is none', () => {
    const config = configOf(undefined, { KEYTURN_TOKEN: 'kt_environment' });
    saveToken(config, 'kt_one');
    expect(textOf(config)).toBe('kt_environment');
    expect(tokenFor(configOf())).toBeUndefined();
  });
});
