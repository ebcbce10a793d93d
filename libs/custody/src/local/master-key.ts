import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { SecretValue } from '#platform';
import { BackendError } from '../key-backend.js';
import { STORE_FILE } from './custody-store.js';
import { errorCode } from '../error-code.js';
import { fsyncFolder } from '../fsync-folder.js';

const MASTER_KEY_BYTES = 32;

/** Enough for any encoding of 32 bytes with some white space; whatever is longer is not a key file. */
const LONGEST_FILE = 1024;

const HOW_TO_CREATE = 'create one with: (umask 077; head -c 32 /dev/urandom | base64 > FILE)';

export type MasterKeySource =
  | {
      readonly file: string;
      /** The folder of the store it is to open: beside keys that are sealed already, nobody is told to make a new one. */
      readonly opens?: string;
    }
  | {
      readonly value: string | SecretValue | undefined;
      /** What errors call it: the variable it came from. */
      readonly name?: string;
    };

/**
 * Reads the master key: 32 bytes as base64 or hex. A file MUST NOT be readable by group or others. Errors name the
 * variable or the file and never what stands in it.
 */
export function loadMasterKey(source: MasterKeySource): SecretValue {
  if ('file' in source)
    return decode(readKeyFile(source.file, source.opens), `The master key file ${source.file}`);
  const name = source.name ?? 'KEYTURN_MASTER_KEY';
  const value = source.value instanceof SecretValue ? source.value.reveal().toString('utf8') : source.value;
  if (value === undefined || value.trim() === '') {
    throw new BackendError(
      'config',
      `${name} is not set: it holds 32 bytes in base64 or hex; ${HOW_TO_CREATE}`,
    );
  }
  return decode(value, name);
}

/** Makes a new master key in a file of its own, 0600, and returns only when it is on disk. Never replaces one. */
export function createMasterKeyFile(path: string): void {
  writeMasterKeyFile(path, `${randomBytes(MASTER_KEY_BYTES).toString('base64')}\n`);
}

/** Copies a master key to a file of its own, whole or not at all; a copy that is there already is left as it is. */
export function copyMasterKeyFile(from: string, to: string): void {
  const text = readKeyFile(from);
  if (existsSync(to) && readKeyFile(to) === text) return;
  const fresh = `${to}.creating`;
  rmSync(fresh, { force: true });
  writeMasterKeyFile(fresh, text);
  renameSync(fresh, to);
  fsyncFolder(dirname(to));
}

function writeMasterKeyFile(path: string, text: string): void {
  let file: number;
  try {
    file = openSync(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600);
  } catch (error) {
    const reason =
      errorCode(error) === 'EEXIST' ? 'it exists already and is never replaced' : errorCode(error);
    throw new BackendError('config', `The master key file ${path} cannot be created: ${reason}`);
  }
  try {
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  // Without this a power loss may take the name away and with it every key sealed under it.
  fsyncFolder(dirname(path));
}

/** A new key opens nothing that is sealed already. */
function howToMend(opens: string | undefined): string {
  if (opens === undefined || !existsSync(join(opens, STORE_FILE))) return `does not exist; ${HOW_TO_CREATE}`;
  return `does not exist, and the keys in ${opens} are sealed under a master key that was made before: put that one there (mode 0600) from where you keep it apart (a backup never holds it), or name it in KEYTURN_MASTER_KEY_FILE or KEYTURN_MASTER_KEY. A new one would open none of them`;
}

function readKeyFile(path: string, opens?: string): string {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY);
  } catch (error) {
    const reason = errorCode(error) === 'ENOENT' ? howToMend(opens) : `cannot be read: ${errorCode(error)}`;
    throw new BackendError('config', `The master key file ${path} ${reason}`);
  }
  try {
    // Asked of the open file, not of the path: nothing can be swapped in between.
    const stat = fstatSync(file);
    if (!stat.isFile()) throw new BackendError('config', `The master key file ${path} is not a regular file`);
    if ((stat.mode & 0o077) !== 0) {
      const mode = (stat.mode & 0o777).toString(8).padStart(4, '0');
      throw new BackendError(
        'config',
        `The master key file ${path} is open to group or others (mode ${mode}): chmod 600 it, and think of it as seen`,
      );
    }
    const bytes = Buffer.alloc(LONGEST_FILE);
    const length = readSync(file, bytes, 0, LONGEST_FILE, 0);
    const text = bytes.toString('latin1', 0, length);
    bytes.fill(0);
    return text;
  } finally {
    closeSync(file);
  }
}

function decode(text: string, name: string): SecretValue {
  const encoded = text.trim();
  const bytes =
    /^[0-9a-fA-F]+$/.test(encoded) && encoded.length === 2 * MASTER_KEY_BYTES
      ? Buffer.from(encoded, 'hex')
      : /^[A-Za-z0-9+/_-]+={0,2}$/.test(encoded)
        ? Buffer.from(encoded, 'base64')
        : undefined;
  if (bytes === undefined) {
    throw new BackendError('config', `${name} is neither base64 nor hex; ${HOW_TO_CREATE}`);
  }
  if (bytes.length !== MASTER_KEY_BYTES) {
    throw new BackendError(
      'config',
      `${name} holds ${bytes.length} bytes, wanted ${MASTER_KEY_BYTES} (base64 or hex); ${HOW_TO_CREATE}`,
    );
  }
  if (bytes.every((byte) => byte === bytes[0])) {
    throw new BackendError('config', `${name} is one byte repeated, not a random key; ${HOW_TO_CREATE}`);
  }
  return new SecretValue(bytes);
}
