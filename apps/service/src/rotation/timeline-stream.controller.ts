import { Readable } from 'node:stream';
import { Controller, Get, Inject, Req, Res, StreamableFile } from '@nestjs/common';
import { z } from 'zod';
import type { Principal } from '#access';
import { DomainError } from '#eventlog';
import { ApiHeader, ApiProduces, ApiTags } from '../http/api-description.js';
import type { Keyturn } from '../composition.js';
import { RequiresPermission, requireAllowed } from '../http/access.guard.js';
import { eventStream, type StreamSource } from '../http/event-stream.js';
import { Caller, header, type HttpReply, type HttpRequest } from '../http/request-context.js';
import { InvalidRequestError, ZodParam, ZodQuery } from '../http/validation.js';
import { KEYTURN } from '../injection-tokens.js';
import { Directory } from './directory.js';
import { rotationSource, wholeSource } from './live-timeline.js';
import { rotationReference } from './rotations.controller.js';

const streamQuery = z.strictObject({
  /** A tree size: what stands after it. A `Last-Event-ID` goes before it. */
  after: z
    .string()
    .regex(/^\d{1,15}$/, { message: 'must be a tree size: a whole number' })
    .transform(Number)
    .optional(),
});

const LAST_EVENT_ID = ApiHeader({
  name: 'Last-Event-ID',
  required: false,
  description: 'The id of the last event that was seen: the stream goes on after it',
});

/** Timelines as they grow, as server-sent events: an event's id is its tree size, `event: end` says why a stream ends. */
@ApiTags('rotations')
@Controller('api/v1')
export class TimelineStreamController {
  constructor(
    @Inject(KEYTURN) private readonly keyturn: Keyturn,
    @Inject(Directory) private readonly directory: Directory,
  ) {}

  /** One rotation: all that is on record of it, then what comes. */
  @Get('rotations/:rotation/timeline/stream')
  @RequiresPermission('rotation:read')
  @ApiProduces('text/event-stream')
  @LAST_EVENT_ID
  async rotation(
    @ZodParam('rotation', rotationReference) reference: string,
    @ZodQuery(streamQuery) query: z.output<typeof streamQuery>,
    @Caller() caller: Principal,
    @Req() request: HttpRequest,
    @Res({ passthrough: true }) reply: HttpReply,
  ): Promise<StreamableFile> {
    const { rotationId, familyId } = this.directory.rotationMeant(reference);
    requireAllowed(caller, 'rotation:read', this.directory.familyView(familyId));
    const after = await this.#after(request, query.after, 0);
    const reader = { authorization: header(request, 'authorization') };
    return streamed(request, reply, rotationSource(this.keyturn, this.directory, rotationId, reader, after));
  }

  /** Every rotation and containment the caller may see, from now on; with `?after` from there on. */
  @Get('timeline/stream')
  @RequiresPermission('rotation:read')
  @ApiProduces('text/event-stream')
  @LAST_EVENT_ID
  async whole(
    @ZodQuery(streamQuery) query: z.output<typeof streamQuery>,
    @Req() request: HttpRequest,
    @Res({ passthrough: true }) reply: HttpReply,
  ): Promise<StreamableFile> {
    const after = await this.#after(request, query.after, await this.keyturn.log.treeSize());
    const reader = { authorization: header(request, 'authorization') };
    return streamed(request, reply, wholeSource(this.keyturn, this.directory, reader, after));
  }

  /** Refused where the log has not come so far: this is another log, or a restored one, and a gap would go unseen. */
  async #after(request: HttpRequest, asked: number | undefined, otherwise: number): Promise<number> {
    const last = header(request, 'last-event-id');
    if (last !== undefined && !/^\d{1,15}$/.test(last)) {
      const message = 'Last-Event-ID must be the id of an event of this stream: a tree size';
      throw new InvalidRequestError('query.invalid', [{ field: '', message }]);
    }
    const after = last === undefined ? (asked ?? otherwise) : Number(last);
    const treeSize = await this.keyturn.log.treeSize();
    if (after > treeSize) {
      throw new DomainError(
        'timeline.beyond-log',
        `the log has ${treeSize} events, not ${after}: it is another one, or was restored; begin anew`,
        { field: 'after', treeSize },
      );
    }
    return after;
  }
}

function streamed(request: HttpRequest, reply: HttpReply, source: StreamSource): StreamableFile {
  reply
    .header('cache-control', 'no-store')
    // A proxy that collects an answer before it passes it on would hold it for ever.
    .header('x-accel-buffering', 'no')
    // Nothing comes after it on this connection: idle, it would hold up a service that stops.
    .header('connection', 'close');
  // A HEAD is answered by its headers: nobody would ever end the body.
  const body = request.method === 'HEAD' ? Readable.from([]) : eventStream(source);
  return new StreamableFile(body, { type: 'text/event-stream' });
}
