import { execFileSync } from 'node:child_process';
import { dirname, resolve } from 'node:path';
import { OPENBAO, type OpenBao } from './openbao.js';

/**
 * Runs `deploy/vault/setup.sh` on a server, as an operator does: policies, token role, two AppRole logins whose secret ids lie in `out`.
 * `asked` is more of the script's environment. Gives back what it prints for the file of KEYTURN_BACK_ENDS.
 */
export function setUpVault(
  bao: OpenBao,
  out: string,
  keys: readonly string[],
  { namespace, ...asked }: { readonly namespace?: string } & Readonly<Record<string, string>> = {},
): string {
  const said = execFileSync('sh', [resolve('deploy/vault/setup.sh'), out, ...keys], {
    encoding: 'utf8',
    env: {
      PATH: `${dirname(OPENBAO)}:/usr/local/bin:/usr/bin:/bin`,
      HOME: out,
      BAO_ADDR: bao.address.origin,
      ...asked,
      ...(namespace === undefined ? {} : { BAO_NAMESPACE: namespace }),
      BAO_TOKEN: bao.rootToken.reveal().toString('utf8'),
    },
  });
  return said.slice(said.indexOf('servers:'));
}
