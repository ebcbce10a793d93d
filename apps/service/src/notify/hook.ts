import { readFileSync } from 'node:fs';
import { Logger } from '@nestjs/common';
import { CommandChannel, HookDispatcher, hookSecret, PostChannel, SECRET_BYTES, type Channel } from '#notify';
import { ConfigError, type HookConfig } from '#platform';
import type { Keyturn } from '../composition.js';
import { Timetable } from '../rotation/schedule-rows.js';
import { alarmsNow, SUDDEN } from './alarms.js';

/** The channel the configuration names. Errors name the variable, never what it holds. */
export function channelOf(hook: HookConfig): Channel {
  if (hook.kind === 'command') {
    return new CommandChannel({ argv: hook.argv, environment: hook.environment });
  }
  const file = 'file' in hook.secret;
  const variable = file ? 'KEYTURN_HOOK_SECRET_FILE' : 'KEYTURN_HOOK_SECRET';
  let text: string;
  try {
    text =
      'file' in hook.secret
        ? readFileSync(hook.secret.file, 'utf8')
        : hook.secret.value.reveal().toString('utf8');
  } catch {
    throw new ConfigError([{ variable, message: 'names a file that cannot be read' }]);
  }
  const secret = hookSecret(text);
  if (secret === undefined) {
    const message = `must hold ${SECRET_BYTES.least} to ${SECRET_BYTES.most} bytes: whsec_ and base64, or the text itself`;
    throw new ConfigError([{ variable, message }]);
  }
  return new PostChannel({ url: hook.url, secret });
}

/** One for each Keyturn: two would take each other for dead. */
const dispatchers = new WeakMap<Keyturn, HookDispatcher>();

/** The dispatcher of the configured hook; `undefined` where none is configured. */
export function hookOf(keyturn: Keyturn): HookDispatcher | undefined {
  const { hook } = keyturn.config;
  if (hook === undefined) return undefined;
  const made = dispatchers.get(keyturn) ?? dispatcherOf(keyturn, hook);
  dispatchers.set(keyturn, made);
  return made;
}

function dispatcherOf(keyturn: Keyturn, hook: HookConfig): HookDispatcher {
  const logger = new Logger('Hook');
  const worker = `hook#${keyturn.ids.random()}`;
  const timetable = new Timetable(keyturn.readModel);
  return new HookDispatcher({
    store: keyturn.store,
    readModel: keyturn.readModel,
    channel: channelOf(hook),
    alarms: (which) => alarmsNow(keyturn, timetable, which),
    sudden: SUDDEN,
    worker,
    // The log's lock proves that another incarnation is gone.
    isDead: (other) => other !== worker,
    onError: (error) => {
      logger.error('alarms could not be looked at; it is tried again', {
        reason: error instanceof Error ? error.message : 'unknown',
      });
    },
  });
}
