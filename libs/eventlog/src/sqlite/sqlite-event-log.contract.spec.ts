import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventLogContract, type ContractLog } from '../testing/index.js';
import { openSqliteEventLog, type SqliteLogOptions } from './index.js';

async function onFile(options: SqliteLogOptions): Promise<ContractLog> {
  const directory = await mkdtemp(join(tmpdir(), 'keyturn-log-'));
  let log = await openSqliteEventLog({ directory }, options);
  return {
    log,
    reopen: async () => {
      log = await openSqliteEventLog({ directory }, options);
      return log;
    },
    close: async () => {
      await log.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function inMemory(): Promise<ContractLog> {
  const log = await openSqliteEventLog({ memory: true });
  return { log, close: () => log.close() };
}

eventLogContract('SQLite in a file', () => onFile({}));
eventLogContract('SQLite in a file, written inline', () => onFile({ inline: true }));
eventLogContract('SQLite in memory', inMemory);
