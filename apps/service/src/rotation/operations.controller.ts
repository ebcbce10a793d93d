import { Readable } from 'node:stream';
import { Controller, Get, HttpCode, Inject, Post, Res, StreamableFile } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { ApiProduces, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import type { Principal } from '#access';
import { formatInstant } from '#eventlog';
import { lineSchema, uuidSchema, type ContainmentView } from '#rotation';
import { ImportHistory, type ImportResult } from '#rotation/application';
import type { Keyturn } from '../composition.js';
import { RequiresPermission, requireAllowed } from '../http/access.guard.js';
import type { CommandContext } from '../http/command-context.js';
import { setETag } from '../http/etag.js';
import { Caller, RequestCommand, type HttpReply } from '../http/request-context.js';
import { ZodBody, ZodParam, ZodQuery } from '../http/validation.js';
import { KEYTURN } from '../injection-tokens.js';
import { Directory } from './directory.js';
import { pageQuery } from './families.controller.js';
import { settlePlaced } from './placing.js';
import { overdueItems, scheduleItems, type ScheduleItem } from './schedule-rows.js';

const importBody = z.strictObject({
  /** The file's name, for the record. */
  name: lineSchema,
  /** The file's text, exactly as it is: its lines are what errors and repeats are named by. */
  content: z.string().min(2).max(1_000_000),
});

interface SchedulePage {
  readonly items: readonly ScheduleItem[];
  readonly asOf: string;
  readonly treeSize: number;
}

@ApiTags('schedule, imports, containments')
@Controller('api/v1')
export class OperationsController {
  constructor(
    @Inject(CommandBus) private readonly commands: CommandBus,
    @Inject(KEYTURN) private readonly keyturn: Keyturn,
    @Inject(Directory) private readonly directory: Directory,
  ) {}

  @Get('schedule')
  @RequiresPermission('schedule:read')
  schedule(@Caller() caller: Principal): SchedulePage {
    const now = this.keyturn.clock.now();
    return this.#page(scheduleItems(this.directory, caller.scope, now), now);
  }

  /** Rotations and reviews past their date, and what was never rotated or never observed: each an exception of its own. */
  @Get('schedule/overdue')
  @RequiresPermission('schedule:read')
  overdue(@Caller() caller: Principal): SchedulePage {
    const now = this.keyturn.clock.now();
    return this.#page(overdueItems(this.directory, caller.scope, now), now);
  }

  @Get('consumers')
  @RequiresPermission('family:read')
  consumers(
    @ZodQuery(pageQuery) _query: z.output<typeof pageQuery>,
    @Caller() caller: Principal,
  ): Readonly<Record<string, unknown>> {
    const families = this.directory.allFamilies(caller.scope);
    const items = families.flatMap((family) =>
      family.consumers.map((consumer) => ({
        ...consumer,
        environment: family.details?.environment ?? '',
        family: { id: family.familyId, name: family.details?.name ?? '' },
      })),
    );
    return { items, next: null, treeSize: this.directory.treeSize() };
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
    @ZodBody(importBody) { name, content }: z.output<typeof importBody>,
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

  #page(items: readonly ScheduleItem[], now: number): SchedulePage {
    return { items, asOf: formatInstant(now), treeSize: this.directory.treeSize() };
  }
}
