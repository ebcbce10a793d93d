import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const NEW_KEY = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2'.split(' ');

/** Signs certificates of servers in tests; its files lie in a folder of the test's. */
export class CertificateAuthority {
  /** PEM. */
  readonly certificate: string;

  private constructor(
    private readonly folder: string,
    private readonly name: string,
  ) {
    this.certificate = readFileSync(this.file, 'utf8');
  }

  static in(folder: string): CertificateAuthority {
    const name = `ca-${randomUUID().slice(0, 8)}`;
    const at = join(folder, name);
    const out = ['-subj', `/CN=${name}`, '-keyout', `${at}.key`, '-out', `${at}.pem`];
    execFileSync('openssl', [...NEW_KEY, ...out], { stdio: 'ignore' });
    return new CertificateAuthority(folder, name);
  }

  /** Of its certificate. */
  get file(): string {
    return join(this.folder, `${this.name}.pem`);
  }

  /** For names such as `DNS:localhost` and `IP:127.0.0.1`; both PEM. */
  issue(...names: readonly string[]): { readonly certificate: string; readonly key: string } {
    const at = join(this.folder, randomUUID());
    execFileSync(
      'openssl',
      [
        ...NEW_KEY,
        '-CA',
        this.file,
        '-CAkey',
        join(this.folder, `${this.name}.key`),
        '-subj',
        '/CN=server',
        '-addext',
        `subjectAltName=${names.join(',')}`,
        '-addext',
        'basicConstraints=critical,CA:FALSE',
        '-keyout',
        `${at}.key`,
        '-out',
        `${at}.pem`,
      ],
      { stdio: 'ignore' },
    );
    return { certificate: readFileSync(`${at}.pem`, 'utf8'), key: readFileSync(`${at}.key`, 'utf8') };
  }
}
