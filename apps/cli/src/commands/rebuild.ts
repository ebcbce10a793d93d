import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { isLoopback } from '#platform';
import { progressSchema } from '../api.js';
import { defineCommand } from '../define-command.js';
import { RefusedError, UnavailableError } from '../failures.js';
import { progressBar } from '../progress-bar.js';
import { Session, type CommonOptions } from '../session.js';
import type { Surroundings } from '../surroundings.js';

export function registerRebuild(program: Command, around: Surroundings): void {
  defineCommand(program, {
    usage: 'rebuild',
    summary: 'Make the read model anew from the log',
    about:
      'Asks a running service; where none runs at a local address, opens the files itself, under the lock. The log is only\nread, and nothing is ever sent because of a rebuild.',
    examples: ['keyturn rebuild'],
    changes: true,
  }).action(async (options: CommonOptions) => {
    const session = new Session(around, options);
    const bar = counted(session);
    let how: 'service' | 'files' = 'service';
    try {
      try {
        await throughService(session, bar);
      } catch (error) {
        if (!(error instanceof UnavailableError) || error.kind !== 'refused') throw error;
        const { hostname } = new URL(session.config.url);
        if (!isLoopback(hostname.replaceAll(/[[\]]/g, ''))) throw error;
        how = 'files';
        session.aside(`No service at ${session.config.url}: opening ${session.config.dataDir}.`);
        await onTheFiles(session, bar);
      }
    } finally {
      bar.stop();
    }
    session.answer({ finished: true, events: bar.total(), by: how }, () => {
      session.line(`The read model was made anew from ${bar.total()} events.`);
    });
  });
}

interface Progress {
  at(done: number, total: number): void;
  total(): number;
  stop(): void;
}

function counted(session: Session): Progress {
  const bar = progressBar(session, 'events');
  let all = 0;
  return {
    at: (done, total) => {
      all = total;
      bar.at(done, total);
    },
    total: () => all,
    stop: () => {
      bar.stop();
    },
  };
}

async function throughService(session: Session, bar: Progress): Promise<void> {
  let finished = false;
  for await (const line of session.client.lines('/read-model/rebuild', progressSchema)) {
    if (line.finished === false) {
      throw new UnavailableError(
        'broken',
        `The rebuild failed, the old read model serves on: ${line.error ?? 'no reason was given'}`,
      );
    }
    if (line.done !== undefined && line.total !== undefined) bar.at(line.done, line.total);
    if (line.finished === true) finished = true;
  }
  if (!finished) throw new UnavailableError('broken', 'The stream ended before the rebuild did');
}

async function onTheFiles({ config, around }: Session, bar: Progress): Promise<void> {
  if (!existsSync(config.dataDir)) {
    throw new RefusedError(
      'data-dir.not-found',
      `there is no Keyturn in ${config.dataDir}: is KEYTURN_DATA_DIR right?`,
    );
  }
  // Loaded only here: the service brings all of Nest along.
  const [
    { DEFINITIONS, PROJECTIONS, placesOf },
    { openEventStore, rebuildReadModel },
    { openSqliteEventLog },
  ] = await Promise.all([import('#service'), import('#eventlog/kit'), import('#eventlog/sqlite')]);
  const places = placesOf(config);
  const log = await openSqliteEventLog({ directory: places.log });
  try {
    const { clock, ids } = around;
    const store = await openEventStore({ log, definitions: DEFINITIONS, clock, ids });
    await rebuildReadModel({
      store,
      path: places.readModel,
      projections: PROJECTIONS,
      onProgress: ({ done, total }) => {
        bar.at(done, total);
      },
    });
  } finally {
    await log.close();
  }
}
