import {
  Inject,
  Injectable,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { finalize, type Observable } from 'rxjs';
import { DomainError } from '#eventlog';
import { ReadModelBehindError } from '#eventlog/kit';
import { eventsOfCommand } from '../command-index.projection.js';
import { READ_MODEL_PATIENCE_MS, type Keyturn } from '../composition.js';
import { KEYTURN } from '../injection-tokens.js';
import { checkIdempotencyKey, commandIdOf, requestHashOf, type StoredPart } from './command-context.js';
import { contextOf, header, type HttpRequest } from './request-context.js';

const READING = ['GET', 'HEAD', 'OPTIONS'];

/**
 * Makes a command of every request that may change something: gives it its id, waits for the same command under way,
 * and finds what it has stored before, so that a repeat is found before anything is decided.
 */
@Injectable()
export class CommandInterceptor implements NestInterceptor {
  readonly #underWay = new Map<string, Promise<void>>();

  constructor(@Inject(KEYTURN) private readonly keyturn: Keyturn) {}

  async intercept(execution: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const request = execution.switchToHttp().getRequest<HttpRequest>();
    const context = contextOf(request);
    const principal = context?.principal;
    if (context === undefined || principal === undefined || READING.includes(request.method))
      return next.handle();

    const { store, ids } = this.keyturn;
    const { method, url } = request;
    const { subject } = principal;
    const given = header(request, 'idempotency-key');
    const key = method !== 'POST' && given === undefined ? ids.random() : checkIdempotencyKey(given);
    const commandId = commandIdOf({ logId: store.logId, subject, method, url, key });
    const requestHash = requestHashOf(request.body);
    context.correlationId = commandId;
    const release = await this.#enter(commandId);
    try {
      const origin = { via: 'http', address: request.ip, requestHash } as const;
      context.command = {
        subject,
        principal,
        commandId,
        requestHash,
        via: 'http',
        address: request.ip,
        cause: { actor: subject, correlationId: commandId, causationId: commandId, origin },
        repeat: await this.#findRepeat(commandId, requestHash),
      };
      return next.handle().pipe(finalize(release));
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Two copies of one request go one after the other: the second finds what the first has stored. */
  async #enter(commandId: string): Promise<() => void> {
    const before = this.#underWay.get(commandId);
    let leave = (): void => undefined;
    const mine = new Promise<void>((resolve) => {
      leave = resolve;
    });
    this.#underWay.set(commandId, mine);
    await before;
    return () => {
      if (this.#underWay.get(commandId) === mine) this.#underWay.delete(commandId);
      leave();
    };
  }

  async #findRepeat(commandId: string, requestHash: string): Promise<readonly StoredPart[]> {
    const { readModel } = this.keyturn;
    // The first try may have stored its events and died before its answer: all that is stored must be seen.
    await inTime(readModel.caughtUp());
    const stored = eventsOfCommand(readModel.db, commandId);
    if (stored.some((event) => event.requestHash !== requestHash)) {
      throw new DomainError(
        'idempotency.key-reused',
        'This Idempotency-Key was used for another body on this path; take a new one',
      );
    }
    return stored.map(({ stream, revision, type }) => ({ stream, revision, type }));
  }
}

async function inTime(work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new ReadModelBehindError(`the read model has not caught up after ${READ_MODEL_PATIENCE_MS} ms`));
    }, READ_MODEL_PATIENCE_MS);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
