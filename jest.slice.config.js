// A seeded slice of what `npm run test:full` takes whole, of the proofs alone (`npm run test:slice`); KEYTURN_SEED takes another one.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import base, { LONG, withLong } from './jest.config.js';

const seed = Number(process.env.KEYTURN_SEED ?? 20_261_121);

/** On real servers: the check has them at its own depth, and a slice of them is longer than a slice may be. What is long is here alone. */
const LEFT_TO_THE_CHECK = /^(?:libs\/custody\/src\/vault|test\/vault)\//;

/** A proof whose size goes by depth asks for it. */
const proofs = ['libs', 'test'].flatMap((folder) =>
  readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith('.spec.ts'))
    .map((name) => join(folder, name))
    .filter(
      (path) =>
        new RegExp(LONG).test(path) ||
        (!LEFT_TO_THE_CHECK.test(path) && /\b(?:byDepth|someOf)\(/.test(readFileSync(path, 'utf8'))),
    ),
);

console.log(
  `a slice of ${proofs.length} proofs, seed ${seed}:\n${proofs.map((path) => `  ${path}`).join('\n')}`,
);

const projectOf = (path) => /\.(crash|e2e)\.spec\.ts$/.exec(path)?.[1] ?? 'unit';

// A project without a spec would run every file there is.
const projects = withLong(base.projects).flatMap((project) => {
  const own = proofs.filter((path) => projectOf(path) === project.displayName);
  if (own.length === 0) return [];
  const globals = { KEYTURN_DEPTH: 'slice', KEYTURN_SEED: seed };
  return [{ ...project, globals, testMatch: own.map((path) => `<rootDir>/${path}`) }];
});

export default { ...base, projects };
