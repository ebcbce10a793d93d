import { Controller, Get, HttpCode, Inject, Post, Res } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { z } from 'zod';
import type { Principal } from '#access';
import { DomainError, instantSchema } from '#eventlog';
import {
  environmentSchema,
  familyKindSchema,
  nameSchema,
  textSchema,
  uuidSchema,
  type FreezeScope,
  type Placed,
} from '#rotation';
import { DeclareFreeze, LiftFreeze } from '#rotation/application';
import { ApiTags } from '../http/api-description.js';
import type { Keyturn } from '../composition.js';
import { RequiresPermission, requireAllowed } from '../http/access.guard.js';
import type { CommandContext } from '../http/command-context.js';
import { Cursor, cut, pageQuery, type Page } from '../http/cursor.js';
import { Caller, RequestCommand, type HttpReply } from '../http/request-context.js';
import { ZodBody, ZodParam, ZodQuery } from '../http/validation.js';
import { KEYTURN } from '../injection-tokens.js';
import { Directory } from './directory.js';
import { concerns, freezeView, reaches, type FreezeView } from './hold-views.js';
import { settlePlaced } from './placing.js';

const declareBody = z.strictObject({
  name: nameSchema,
  reason: textSchema,
  /** Left out: from now on. */
  from: instantSchema.optional(),
  /** Left out: until it is lifted. */
  until: instantSchema.optional(),
  /** Every part that is named must hold; nothing named is everything. */
  scope: z
    .strictObject({
      environments: z.array(environmentSchema).min(1).max(50).optional(),
      teams: z.array(nameSchema).min(1).max(50).optional(),
      kinds: z.array(familyKindSchema).min(1).optional(),
      /** Ids, or `environment/name`. */
      families: z.array(z.string().min(1).max(200)).min(1).max(1_000).optional(),
    })
    .default({}),
});
const liftBody = z.strictObject({ reason: textSchema });

const freezesCursor = new Cursor('freezes', z.tuple([z.int()]));

@ApiTags('holds')
@Controller('api/v1/freezes')
export class FreezesController {
  constructor(
    @Inject(CommandBus) private readonly commands: CommandBus,
    @Inject(KEYTURN) private readonly keyturn: Keyturn,
    @Inject(Directory) private readonly directory: Directory,
  ) {}

  /** Those declared last first, lifted and past ones too. Read from the log itself. */
  @Get()
  @RequiresPermission('rotation:read')
  async list(
    @ZodQuery(pageQuery) query: z.output<typeof pageQuery>,
    @Caller() caller: Principal,
  ): Promise<Page<FreezeView>> {
    const [before] = freezesCursor.read(query.cursor) ?? [Infinity];
    const { state } = await this.keyturn.ledger.holds();
    const now = this.keyturn.clock.now();
    const mine = state.freezes
      .map((freeze, index) => ({ freeze, index }))
      .filter(({ freeze, index }) => index < before && concerns(freeze, caller.scope))
      .reverse();
    const { rows, next } = cut(mine, query.limit, ({ index }) => freezesCursor.write([index]));
    const items = rows.map(({ freeze }) => freezeView(freeze, now));
    return { items, next, treeSize: this.directory.treeSize() };
  }

  /** Forward steps of what it covers stand still. Emergencies, and the way back of a rollback, go on. */
  @Post()
  @RequiresPermission('freeze:write')
  async declare(
    @ZodBody(declareBody) body: z.output<typeof declareBody>,
    @RequestCommand() command: CommandContext,
    @Res({ passthrough: true }) reply: HttpReply,
  ): Promise<FreezeView> {
    const scope = this.#scopeOf(body.scope);
    this.#requireReach(command.principal, scope);
    const { name, reason, from, until } = body;
    const placed = await this.commands.execute<DeclareFreeze, Placed>(
      new DeclareFreeze(command, { name, reason, from, until, scope }),
    );
    await settlePlaced(this.keyturn, placed, reply);
    return this.#view(placed.id);
  }

  @Post(':freeze/lift')
  @HttpCode(200)
  @RequiresPermission('freeze:write')
  async lift(
    @ZodParam('freeze', uuidSchema) id: string,
    @ZodBody(liftBody) { reason }: z.output<typeof liftBody>,
    @RequestCommand() command: CommandContext,
    @Res({ passthrough: true }) reply: HttpReply,
  ): Promise<FreezeView> {
    this.#requireReach(command.principal, (await this.#view(id)).scope);
    const placed = await this.commands.execute<LiftFreeze, Placed>(new LiftFreeze(command, id, reason));
    await settlePlaced(this.keyturn, placed, reply);
    return this.#view(id);
  }

  async #view(id: string): Promise<FreezeView> {
    const { state } = await this.keyturn.ledger.holds();
    const freeze = state.freezes.find((each) => each.freeze === id);
    if (freeze === undefined) throw new DomainError('freeze.not-found', 'there is no such freeze');
    return freezeView(freeze, this.keyturn.clock.now());
  }

  #scopeOf({ families, ...parts }: z.output<typeof declareBody>['scope']): FreezeScope {
    if (families === undefined) return parts;
    return { ...parts, families: families.map((family) => this.directory.family(family).state.familyId) };
  }

  /** Whoever holds others' work must reach all of it. */
  #requireReach(principal: Principal, scope: FreezeScope): void {
    if (scope.families === undefined) {
      if (!reaches(principal.scope, scope)) requireAllowed(principal, 'freeze:write', 'everything');
      return;
    }
    for (const family of scope.families) {
      requireAllowed(principal, 'freeze:write', this.directory.familyView(family));
    }
  }
}
