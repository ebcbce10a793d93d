/**
 * Environments a rehearsal runs in, by the usual names: it has no approval and windows of its own, so what is not known to be for
 * trying things out counts as production (docs/adr/0020).
 */
export const REHEARSAL_ENVIRONMENTS: readonly string[] = [
  'test',
  'testing',
  'dev',
  'development',
  'staging',
  'stage',
  'sandbox',
  'qa',
  'preview',
  'ci',
  'local',
  'integration',
  'demo',
];

/** Production, however it is written; a product is none. */
const LOOKS_LIKE_PRODUCTION = /^(prod(?!ucts?$)|prd|live)/;

/** Whether a part of the name, between dashes, is one of them and none looks like production: `eu-staging`, not `prod-test`. */
export function isForRehearsals(environment: string): boolean {
  const parts = environment.split('-');
  return (
    parts.some((part) => REHEARSAL_ENVIRONMENTS.includes(part)) &&
    !parts.some((part) => LOOKS_LIKE_PRODUCTION.test(part))
  );
}
