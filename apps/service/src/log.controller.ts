import { Readable } from 'node:stream';
import { Controller, Get, Inject, Ip, Res, StreamableFile } from '@nestjs/common';
import { z } from 'zod';
import { RecordLogRead, type Principal } from '#access';
import { formatInstant, type LoggedEvent } from '#eventlog';
import { openSealed } from '#eventlog/kit';
import { ApiProduces, ApiTags } from './http/api-description.js';
import type { Keyturn } from './composition.js';
import { RequiresPermission } from './http/access.guard.js';
import { Caller, type HttpReply } from './http/request-context.js';
import { ZodQuery } from './http/validation.js';
import { KEYTURN } from './injection-tokens.js';

const eventsQuery = z.strictObject({
  /** A tree size: events after it. The `treesize` of the last line is the next one. */
  after: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(5_000).default(500),
});

@ApiTags('log')
@Controller('api/v1/log')
export class LogController {
  readonly #recordRead: RecordLogRead;

  constructor(@Inject(KEYTURN) private readonly keyturn: Keyturn) {
    this.#recordRead = new RecordLogRead(keyturn.store);
  }

  /** The log as it is stored, one CloudEvents 1.0 event a line. That it was read is recorded before it is answered. */
  @Get('events')
  @RequiresPermission('log:read')
  @ApiProduces('application/x-ndjson')
  async events(
    @ZodQuery(eventsQuery) { after, limit }: z.output<typeof eventsQuery>,
    @Caller() caller: Principal,
    @Ip() address: string,
    @Res({ passthrough: true }) reply: HttpReply,
  ): Promise<StreamableFile> {
    const { log, store } = this.keyturn;
    await this.#recordRead.execute({ actor: caller.subject, query: 'log.events', address });
    reply.header('keyturn-tree-size', String(await log.treeSize())).header('cache-control', 'no-store');
    const events = log.readAll({ after, limit });
    return new StreamableFile(Readable.from(linesOf(events, store.logId)), { type: 'application/x-ndjson' });
  }
}

async function* linesOf(events: AsyncIterable<LoggedEvent>, logId: string): AsyncGenerator<string> {
  for await (const event of events) yield `${JSON.stringify(cloudEventOf(event, logId))}\n`;
}

/** CloudEvents 1.0, JSON format. Data as it was stored, with the version it was stored with; extension names are lower case. */
function cloudEventOf(logged: LoggedEvent, logId: string): Readonly<Record<string, unknown>> {
  const content = openSealed(logged);
  const { origin } = content;
  return {
    specversion: '1.0',
    id: content.id,
    source: `urn:uuid:${logId}`,
    type: `keyturn.${content.type}`,
    subject: content.stream,
    time: formatInstant(content.recordedAt),
    datacontenttype: 'application/json',
    treesize: logged.treeSize,
    revision: content.revision,
    schemaversion: content.schemaVersion,
    ...(content.occurredAt === undefined ? {} : { occurredat: formatInstant(content.occurredAt) }),
    actor: content.actor,
    ...(content.onBehalfOf === undefined ? {} : { onbehalfof: content.onBehalfOf }),
    correlationid: content.correlationId,
    causationid: content.causationId,
    provenance: content.provenance,
    via: origin.via,
    ...(origin.address === undefined ? {} : { address: origin.address }),
    ...(origin.requestHash === undefined ? {} : { requesthash: origin.requestHash }),
    leaf: logged.leaf,
    data: content.data,
  };
}
