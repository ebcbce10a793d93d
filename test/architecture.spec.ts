import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { z } from 'zod';

/**
 * The arrows of the house are rules of dependency-cruiser. Each is shown red on a violation planted in a copy of the
 * layout, so that a rule that no longer sees anything does not look like a clean house.
 */

const ROOT = process.cwd();
const CONFIG = '.dependency-cruiser.cjs';
const CRUISER = join(ROOT, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
const MINUTE = 60_000;

/** A house in small that keeps every rule. */
const CLEAN: Readonly<Record<string, string>> = {
  'libs/platform/src/index.ts': 'export const clock = 1;',
  'libs/eventlog/src/index.ts': "import { clock } from '#platform'; export const log = clock;",
  'libs/eventlog/src/sqlite/index.ts':
    "import sqlite from '@photostructure/sqlite'; export const db = sqlite;",
  'libs/eventlog/src/testing/index.ts': 'export const kit = 1;',
  'libs/custody/src/index.ts': "import { log } from '#eventlog'; export const port = log;",
  'libs/custody/src/local/index.ts': "import { port } from '../index.js'; export const local = port;",
  'libs/access/src/index.ts': "import { log } from '#eventlog'; export const access = log;",
  'libs/rotation/src/domain/rotation.decider.ts':
    "import { z } from 'zod'; import { log } from '#eventlog'; export const decider = [z, log];",
  'libs/rotation/src/application/request-rotation.ts':
    "import { decider } from '../domain/rotation.decider.js'; import { port } from '#custody'; export const use = [decider, port];",
  'libs/rotation/src/infrastructure/rotations.projection.ts':
    "import { decider } from '../domain/rotation.decider.js'; export const projection = decider;",
  'libs/rotation/src/index.ts':
    "export { decider } from './domain/rotation.decider.js'; export { use } from './application/request-rotation.js'; export { projection } from './infrastructure/rotations.projection.js';",
  'libs/schedule/src/index.ts': "import { decider } from '#rotation'; export const due = decider;",
  'libs/evidence/src/pdf/sheet.ts': "import pdfkit from 'pdfkit'; export const sheet = pdfkit;",
  'libs/evidence/src/index.ts': "export { sheet } from './pdf/sheet.js';",
  'apps/service/src/index.ts':
    "import nest from '@nestjs/common'; import { decider } from '#rotation'; import { local } from '#custody/local'; export const app = [nest, decider, local];",
};

interface Violation {
  readonly rule: string;
  readonly file: string;
  readonly text: string;
}

/** One planted file a rule, and for the rule that guards the domain every way it was ever broken. */
const PLANTED: readonly Violation[] = [
  {
    rule: 'domain-is-pure',
    file: 'libs/rotation/src/domain/nest.ts',
    text: "import nest from '@nestjs/common'; export const it = nest;",
  },
  {
    rule: 'domain-is-pure',
    file: 'libs/rotation/src/domain/random.ts',
    text: "import { randomUUID } from 'node:crypto'; export const it = randomUUID;",
  },
  {
    rule: 'domain-is-pure',
    file: 'libs/rotation/src/domain/upwards.ts',
    text: "import { use } from '../application/request-rotation.js'; export const it = use;",
  },
  {
    rule: 'domain-is-pure',
    file: 'libs/rotation/src/domain/store.ts',
    text: "import { db } from '#eventlog/sqlite'; export const it = db;",
  },
  {
    rule: 'no-circular',
    // A circle is reported once, at the first of its files.
    file: 'libs/schedule/src/circle-back.ts',
    text: "import { it } from './circle.js'; export const itself = () => it;",
  },
  {
    rule: 'no-unresolvable',
    file: 'libs/schedule/src/nowhere.ts',
    text: "import { it } from './not-there.js'; export const that = it;",
  },
  {
    rule: 'application-not-to-infrastructure',
    file: 'libs/rotation/src/application/reads.ts',
    text: "import { projection } from '../infrastructure/rotations.projection.js'; export const it = projection;",
  },
  {
    rule: 'libs-by-front-door',
    file: 'libs/schedule/src/deep.ts',
    text: "import { decider } from '../../rotation/src/domain/rotation.decider.js'; export const it = decider;",
  },
  {
    rule: 'libs-by-front-door',
    file: 'apps/service/src/deep.ts',
    text: "import { use } from '../../../libs/rotation/src/application/request-rotation.js'; export const it = use;",
  },
  {
    rule: 'libs-not-to-apps',
    file: 'libs/evidence/src/app.ts',
    text: "import { app } from '../../../apps/service/src/index.js'; export const it = app;",
  },
  {
    rule: 'one-way-platform',
    file: 'libs/platform/src/up.ts',
    text: "import { port } from '#custody'; export const it = port;",
  },
  {
    rule: 'one-way-eventlog',
    file: 'libs/eventlog/src/up.ts',
    text: "import { due } from '#schedule'; export const it = due;",
  },
  {
    rule: 'one-way-custody',
    file: 'libs/custody/src/up.ts',
    text: "import { decider } from '#rotation'; export const it = decider;",
  },
  {
    rule: 'one-way-access',
    file: 'libs/access/src/up.ts',
    text: "import { decider } from '#rotation'; export const it = decider;",
  },
  {
    rule: 'one-way-rotation',
    file: 'libs/rotation/src/infrastructure/adapter.ts',
    text: "import { local } from '#custody/local'; export const it = local;",
  },
  {
    rule: 'one-way-notify',
    file: 'libs/notify/src/alarms.ts',
    text: "import { state } from '#rotation'; export const it = state;",
  },
  {
    rule: 'readers-of-rotation',
    file: 'libs/evidence/src/keys.ts',
    text: "import { port } from '#custody'; export const it = port;",
  },
  {
    rule: 'testing-stays-in-tests',
    file: 'libs/rotation/src/infrastructure/kit.ts',
    text: "import { kit } from '#eventlog/testing'; export const it = kit;",
  },
  {
    rule: 'nest-only-at-the-edge',
    file: 'libs/custody/src/nest.ts',
    text: "import nest from '@nestjs/common'; export const it = nest;",
  },
  {
    rule: 'sqlite-by-the-seam',
    file: 'libs/rotation/src/infrastructure/database.ts',
    text: "import sqlite from '@photostructure/sqlite'; export const it = sqlite;",
  },
  {
    rule: 'pdfkit-only-in-pdf',
    file: 'libs/evidence/src/draw.ts',
    text: "import pdfkit from 'pdfkit'; export const it = pdfkit;",
  },
];

const HELPERS: Readonly<Record<string, string>> = {
  'libs/schedule/src/circle.ts': "import { itself } from './circle-back.js'; export const it = itself;",
};

/** Packages by name only: the rules look at where an import ends, not at what it finds. */
const PACKAGES = ['@nestjs/common', '@photostructure/sqlite', 'pdfkit', 'zod'];

async function write(directory: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [file, text] of Object.entries(files)) {
    await mkdir(dirname(join(directory, file)), { recursive: true });
    await writeFile(join(directory, file), `${text}\n`);
  }
}

async function house(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'keyturn-house-'));
  for (const file of [CONFIG, 'tsconfig.json', 'package.json'])
    await copyFile(join(ROOT, file), join(directory, file));
  await write(directory, CLEAN);
  for (const name of PACKAGES) {
    await write(directory, {
      [`node_modules/${name}/package.json`]: JSON.stringify({ name, version: '1.0.0', main: 'index.js' }),
      [`node_modules/${name}/index.js`]: 'module.exports = {};',
    });
  }
  return directory;
}

interface Found {
  readonly rule: string;
  readonly from: string;
}

function cruise(directory: string): Promise<{ readonly modules: number; readonly found: readonly Found[] }> {
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [CRUISER, 'apps', 'libs', '--config', CONFIG, '--output-type', 'json'],
      { cwd: directory, maxBuffer: 64 * 1024 * 1024, timeout: MINUTE },
      (error, stdout, stderr) => {
        // It leaves with a number where rules are broken; without a report it did not run.
        if (stdout === '') {
          reject(new Error(`dependency-cruiser gave no report: ${stderr}`, { cause: error }));
          return;
        }
        const { summary } = reportSchema.parse(JSON.parse(stdout));
        resolve({
          modules: summary.totalCruised,
          found: summary.violations.map(({ rule, from }) => ({ rule: rule.name, from })),
        });
      },
    );
  });
}

const reportSchema = z.object({
  summary: z.object({
    totalCruised: z.int(),
    violations: z.array(z.object({ rule: z.object({ name: z.string() }), from: z.string() })),
  }),
});

const configSchema = z.object({ forbidden: z.array(z.object({ name: z.string() })).min(1) });

describe('the arrows of the house', () => {
  let directory: string;

  beforeAll(async () => {
    directory = await house();
  });

  afterAll(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  it(
    'are kept by the real tree',
    async () => {
      const { modules, found } = await cruise(ROOT);
      expect(found).toEqual([]);
      expect(modules).toBeGreaterThan(200);
    },
    MINUTE,
  );

  it(
    'go red on every planted violation, and only there',
    async () => {
      expect((await cruise(directory)).found).toEqual([]);
      await write(directory, HELPERS);
      await write(directory, Object.fromEntries(PLANTED.map(({ file, text }) => [file, text])));
      const { found } = await cruise(directory);
      const places = found.map(({ rule, from }) => `${rule}: ${from}`);
      const missed = PLANTED.map(({ rule, file }) => `${rule}: ${file}`).filter(
        (place) => !places.includes(place),
      );
      expect(missed).toEqual([]);
      const planted = [...PLANTED.map(({ file }) => file), ...Object.keys(HELPERS)];
      expect(found.filter(({ from }) => !planted.includes(from))).toEqual([]);
    },
    2 * MINUTE,
  );

  it('has a planted violation for every rule there is', () => {
    const config = configSchema.parse(createRequire(import.meta.url)(join(ROOT, CONFIG)));
    const shown = new Set(PLANTED.map(({ rule }) => rule));
    expect(config.forbidden.map(({ name }) => name).filter((name) => !shown.has(name))).toEqual([]);
  });
});
