import { Readable } from 'node:stream';
import { Controller, Get, HttpCode, Inject, Post, Res, StreamableFile } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { z } from 'zod';
import type { Principal } from '#access';
import { lineSchema, uuidSchema, type ContainmentView } from '#rotation';
import { ImportHistory, type ImportResult } from '#rotation/application';
import { ApiProduces, ApiTags } from '../http/api-description.js';
import type { Keyturn } from '../composition.js';
import { RequiresPermission, requireAllowed } from '../http/access.guard.js';
import type { CommandContext } from '../http/command-context.js';
import { pageQuery, type Page } from '../http/cursor.js';
import { setETag } from '../http/etag.js';
import { Caller, RequestCommand, type HttpReply } from '../http/request-context.js';
import { ZodBody, ZodParam, ZodQuery } from '../http/validation.js';
import { KEYTURN } from '../injection-tokens.js';
import { Directory, type ConsumerEntry } from './directory.js';
import { settlePlaced } from './placing.js';
import { Timetable, type MissedObligation, type SchedulePage } from './schedule-rows.js';

const importBody = z.strictObject({
  /** The file's name, for the record. */
  name: lineSchema,
  /** The file's text, exactly as it is: its lines are what errors and repeats are named by. */
  content: z.string().min(2).max(1_000_000),
});

const scheduleQuery = pageQuery.extend({
  /** Its id, or `environment/name`: everything that is owed by it. */
  family: z.string().max(200).optional(),
});
const obligationsQuery = pageQuery.extend({ state: z.enum(['open', 'settled', 'all']).default('all') });

@ApiTags('schedule, imports, containments')
@Controller('api/v1')
export class OperationsController {
  constructor(
    @Inject(CommandBus) private readonly commands: CommandBus,
    @Inject(KEYTURN) private readonly keyturn: Keyturn,
    @Inject(Directory) private readonly directory: Directory,
    @Inject(Timetable) private readonly timetable: Timetable,
  ) {}

  @Get('schedule')
  @RequiresPermission('schedule:read')
  schedule(
    @ZodQuery(scheduleQuery) { family, ...query }: z.output<typeof scheduleQuery>,
    @Caller() caller: Principal,
  ): SchedulePage {
    const view = family === undefined ? undefined : this.directory.familyView(family);
    if (view !== undefined) requireAllowed(caller, 'schedule:read', view);
    const asked = { ...query, familyId: view?.id };
    return this.timetable.schedule(asked, caller.scope, this.keyturn.clock.now());
  }

  /** Rotations and reviews past their date, and what was never rotated or never observed: each an exception of its own. */
  @Get('schedule/overdue')
  @RequiresPermission('schedule:read')
  overdue(@ZodQuery(pageQuery) query: z.output<typeof pageQuery>, @Caller() caller: Principal): SchedulePage {
    return this.timetable.overdue(query, caller.scope, this.keyturn.clock.now());
  }

  /** What people owe now or soon, the late first: approvals in retrospect, reviews, departures, deviations that end, registrations. */
  @Get('schedule/owed')
  @RequiresPermission('schedule:read')
  owed(@ZodQuery(pageQuery) query: z.output<typeof pageQuery>, @Caller() caller: Principal): SchedulePage {
    return this.timetable.owed(query, caller.scope, this.keyturn.clock.now());
  }

  /** What was owed by a date and not done by it, the latest date first: when it was settled, how and by whom. */
  @Get('obligations')
  @RequiresPermission('schedule:read')
  obligations(
    @ZodQuery(obligationsQuery) query: z.output<typeof obligationsQuery>,
    @Caller() caller: Principal,
  ): Page<MissedObligation> {
    return this.timetable.missed(query, caller.scope);
  }

  @Get('consumers')
  @RequiresPermission('family:read')
  consumers(
    @ZodQuery(pageQuery) query: z.output<typeof pageQuery>,
    @Caller() caller: Principal,
  ): Page<ConsumerEntry> {
    return this.directory.consumers(query, caller.scope);
  }

  @Get('containments/:containment')
  @RequiresPermission('rotation:read')
  containment(
    @ZodParam('containment', uuidSchema) id: string,
    @Caller() caller: Principal,
    @Res({ passthrough: true }) reply: HttpReply,
  ): ContainmentView {
    const view = this.directory.containment(id);
    requireAllowed(caller, 'rotation:read', this.directory.familyView(view.family));
    setETag(reply, view.revision);
    return view;
  }

  /** Past rotations as facts of provenance `imported`: validated whole first, resumed after a crash, never acting. */
  @Post('imports')
  @HttpCode(201)
  @RequiresPermission('import:run')
  async import(
    @ZodBody(importBody, { secretsIn: ['content'] }) { name, content }: z.output<typeof importBody>,
    @RequestCommand() command: CommandContext,
    @Res({ passthrough: true }) reply: HttpReply,
  ): Promise<ImportResult> {
    requireAllowed(command.principal, 'import:run', 'everything');
    const result = await this.commands.execute<ImportHistory, ImportResult>(
      new ImportHistory(command, name, new TextEncoder().encode(content)),
    );
    await settlePlaced(this.keyturn, result, reply);
    await this.keyturn.readModel.caughtUp();
    return result;
  }

  /** Folds every read model anew from the log, beside the one that serves; progress a line at a time. */
  @Post('read-model/rebuild')
  @HttpCode(200)
  @RequiresPermission('readmodel:rebuild')
  @ApiProduces('application/x-ndjson')
  rebuild(@RequestCommand() _command: CommandContext): StreamableFile {
    return new StreamableFile(Readable.from(this.#rebuilding()), { type: 'application/x-ndjson' });
  }

  async *#rebuilding(): AsyncGenerator<string> {
    const waiting: string[] = [];
    let wake: (() => void) | undefined;
    const told = (line: unknown): void => {
      waiting.push(`${JSON.stringify(line)}\n`);
      wake?.();
    };
    const finished = this.keyturn
      .rebuildReadModel((progress) => told(progress))
      .then(
        () => told({ finished: true }),
        (error: unknown) =>
          told({ finished: false, error: error instanceof Error ? error.message : 'it failed' }),
      );
    for (;;) {
      const line = waiting.shift();
      if (line !== undefined) {
        yield line;
        if (line.includes('"finished"')) break;
        continue;
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    await finished;
  }
}
