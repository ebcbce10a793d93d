import { ConsoleLogger, type LoggerService, type LogLevel } from '@nestjs/common';
import type { Config } from '#platform';
import { currentContext } from './request-context.js';

const LEVELS: LogLevel[] = ['fatal', 'error', 'warn', 'log'];

/** What Nest says of every route and module at every start; the API documentation says it better. */
const CHATTER = ['InstanceLoader', 'NestApplication', 'NestFactory', 'RouterExplorer', 'RoutesResolver'];

class QuietLogger extends ConsoleLogger {
  override log(message: unknown, ...rest: unknown[]): void {
    const context = rest.at(-1);
    if (typeof context !== 'string' || !CHATTER.includes(context)) super.log(message, ...rest);
  }
}

/** Constant messages with attributes, the correlation id on each line. */
class CorrelatedLogger extends QuietLogger {
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
    : new QuietLogger({ prefix: 'Keyturn', logLevels: LEVELS });
}
