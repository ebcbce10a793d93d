import { ConsoleLogger, type LoggerService, type LogLevel } from '@nestjs/common';
import type { Config } from '#platform';
import { currentContext } from './request-context.js';

const LEVELS: LogLevel[] = ['fatal', 'error', 'warn', 'log'];

/** Constant messages with attributes, the correlation id on each line. */
class CorrelatedLogger extends ConsoleLogger {
  protected override getJsonLogObject(
    ...args: Parameters<ConsoleLogger['getJsonLogObject']>
  ): ReturnType<ConsoleLogger['getJsonLogObject']> {
    const correlationId = currentContext()?.correlationId;
    const line = super.getJsonLogObject(...args);
    return correlationId === undefined ? line : { correlationId, ...line };
  }
}

export function loggerOf(log: Config['log']): LoggerService | false {
  if (log === 'silent') return false;
  return log === 'json'
    ? new CorrelatedLogger({ json: true, flattenParams: true, logLevels: LEVELS })
    : new ConsoleLogger({ prefix: 'Keyturn', logLevels: LEVELS });
}
