import { Logger } from '@nestjs/common';
import type { Keyturn } from './composition.js';

const LOOKED_EVERY_MS = 5_000;

/** Says when a back end cannot be used any more, or can again: readiness stays as it is meanwhile, since reading and serving go on. */
export function logBackEnds(keyturn: Pick<Keyturn, 'vault' | 'beforeClose'>): void {
  const logger = new Logger('BackEnds');
  const said = new Map<string, string>();
  const look = (): void => {
    for (const { instance, state, reason, login } of keyturn.vault.health()) {
      const trouble = reason ?? login ?? '';
      if (trouble === (said.get(instance) ?? '')) continue;
      said.set(instance, trouble);
      if (trouble === '') logger.log('a back end can be used again', { instance, state });
      else logger.warn('a back end cannot be used; its rotations wait', { instance, state, reason: trouble });
    }
  };
  const timer = setInterval(look, LOOKED_EVERY_MS).unref();
  keyturn.beforeClose(async () => {
    clearInterval(timer);
  });
}
