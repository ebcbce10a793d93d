import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LOCK_FILE, LOG_FILE } from '#eventlog/sqlite';

/** What changes a file, a folder, or what is on the disk of them. */
export const CHANGING = ['write', 'pwrite64', 'fsync', 'fdatasync', 'ftruncate', 'unlink', 'rename'] as const;

/** Every file the log may make in its folder, and the folder. */
export function filesOf(directory: string): readonly string[] {
  const log = join(directory, LOG_FILE);
  const lock = join(directory, LOCK_FILE);
  return [
    directory,
    ...['', '-wal', '-shm', '-journal', '.creating', '.creating-journal'].map((suffix) => log + suffix),
    ...['', '-journal'].map((suffix) => lock + suffix),
  ];
}

export interface TraceOptions {
  readonly paths: readonly string[];
  /** strace's own file. */
  readonly output: string;
  readonly calls?: readonly string[];
  /** `pwrite64:signal=KILL:when=3`, as strace(1) has it. */
  readonly inject?: string;
  /** Keep what was written, whole. */
  readonly data?: boolean;
}

export function straceArguments(options: TraceOptions): string[] {
  const { paths, output, calls = CHANGING, inject, data = false } = options;
  return [
    '-f',
    '-y',
    '-o',
    output,
    ...paths.flatMap((path) => ['-P', path]),
    '-e',
    `trace=${calls.join(',')}`,
    ...(inject === undefined ? [] : ['-e', `inject=${inject}`]),
    ...(data ? ['-xx', '-s', '1000000'] : []),
  ];
}

export interface Ended {
  readonly signal: NodeJS.Signals | null;
  readonly code: number | null;
  readonly stderr: string;
}

/** Runs a program to its end, whatever end that is. */
export function run(command: string, args: readonly string[], timeoutMs = 60_000): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child: ChildProcess = spawn(command, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: timeoutMs,
    });
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.once('error', reject);
    child.once('close', (code, signal) => {
      resolve({ code, signal, stderr });
    });
  });
}

/** One call that reached the kernel and succeeded. */
export type Call =
  | { readonly name: 'write'; readonly path: string; readonly data: Buffer; readonly at?: number }
  | { readonly name: 'sync'; readonly path: string }
  | { readonly name: 'truncate'; readonly path: string; readonly size: number }
  | { readonly name: 'unlink'; readonly path: string }
  | { readonly name: 'rename'; readonly path: string; readonly to: string }
  | { readonly name: 'create'; readonly path: string };

/** What a trace with `data` says was done, in order. A line that is not understood fails: nothing may be passed over. */
export function readTrace(file: string): Call[] {
  return lines(file).flatMap((line): Call[] => {
    if (line.includes('+++') || line.includes('---') || / = -1 E/.test(line)) return [];
    const call = parse(line);
    if (call === undefined) throw new Error(`strace says what is not understood: ${line.slice(0, 200)}`);
    return call;
  });
}

function lines(file: string): string[] {
  return readFileSync(file, 'latin1')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.replace(/^\d+ +/, ''));
}

function parse(line: string): Call[] | undefined {
  const name = line.slice(0, line.indexOf('('));
  const path = unhex(/^\w+\(\d+<([^>]*)>/.exec(line)?.[1] ?? '');
  const strings = [...line.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map((match) => bytes(match[1] ?? ''));
  const numbers = line.slice(line.lastIndexOf('"') + 1);
  switch (name) {
    case 'write':
    case 'pwrite64': {
      const [, length, at] = /^, (\d+)(?:, (\d+))?\)/.exec(numbers) ?? [];
      const [data] = strings;
      if (data === undefined || data.length !== Number(length)) return undefined;
      return [{ name: 'write', path, data, ...(at === undefined ? {} : { at: Number(at) }) }];
    }
    case 'fsync':
    case 'fdatasync':
      return [{ name: 'sync', path }];
    case 'ftruncate':
      return [{ name: 'truncate', path, size: Number(/>, (\d+)\)/.exec(line)?.[1]) }];
    case 'unlink':
      return [{ name: 'unlink', path: String(strings[0]) }];
    case 'rename':
      return [{ name: 'rename', path: String(strings[0]), to: String(strings[1]) }];
    case 'openat':
      // That it was there already is for the reader to see.
      return line.includes('O_CREAT') ? [{ name: 'create', path: String(strings[0]) }] : [];
    default:
      return undefined;
  }
}

/** `-xx` writes every byte of a string as \\xNN; paths after a descriptor too. */
function bytes(text: string): Buffer {
  return Buffer.from(text.replaceAll('\\x', ''), 'hex');
}

function unhex(text: string): string {
  return text.includes('\\x') ? bytes(text).toString() : text;
}

/** How often each call was made on the traced files: the places where one can be killed. */
export function countCalls(file: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const line of lines(file)) {
    const name = /^(\w+)\(/.exec(line)?.[1];
    if (name === undefined || !CHANGING.some((call) => call === name)) continue;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}
