import { Controller, Get, HttpCode, Inject, Post, Res } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { z } from 'zod';
import type { Principal } from '#access';
import { DomainError } from '#eventlog';
import { CONFIRMABLE_HOLDS, inForce, textSchema, type Placed } from '#rotation';
import { ConfirmHold } from '#rotation/application';
import { ApiTags } from '../http/api-description.js';
import type { Keyturn } from '../composition.js';
import { RequiresPermission, requireAllowed } from '../http/access.guard.js';
import type { CommandContext } from '../http/command-context.js';
import { Caller, RequestCommand, type HttpReply } from '../http/request-context.js';
import { ZodBody, ZodParam } from '../http/validation.js';
import { KEYTURN } from '../injection-tokens.js';
import { concerns, freezeView, openHolds, type FreezeView, type OpenHoldView } from './hold-views.js';
import { settlePlaced } from './placing.js';

const confirmBody = z.strictObject({
  /** What was looked at, and what was found. */
  reason: textSchema,
});

interface HoldsView {
  /** What holds rotations until a person, or what found it, says otherwise. */
  readonly open: readonly OpenHoldView[];
  /** Freezes in force now. */
  readonly freezes: readonly FreezeView[];
}

@ApiTags('holds')
@Controller('api/v1/holds')
export class HoldsController {
  constructor(
    @Inject(CommandBus) private readonly commands: CommandBus,
    @Inject(KEYTURN) private readonly keyturn: Keyturn,
  ) {}

  /** What holds forward steps now. Read from the log itself. */
  @Get()
  @RequiresPermission('rotation:read')
  list(@Caller() caller: Principal): Promise<HoldsView> {
    return this.#view(caller);
  }

  /** A person looked into it and lets rotations go on. It concerns all of them, so a narrow token may not. */
  @Post(':hold/confirm')
  @HttpCode(200)
  @RequiresPermission('hold:confirm')
  async confirm(
    @ZodParam('hold', z.enum(CONFIRMABLE_HOLDS)) hold: (typeof CONFIRMABLE_HOLDS)[number],
    @ZodBody(confirmBody) { reason }: z.output<typeof confirmBody>,
    @RequestCommand() command: CommandContext,
    @Res({ passthrough: true }) reply: HttpReply,
  ): Promise<HoldsView> {
    requireAllowed(command.principal, 'hold:confirm', 'everything');
    if (this.keyturn.tokens.subject(command.subject)?.kind !== 'person') {
      throw new DomainError(
        'hold.person-needed',
        'what holds every rotation is confirmed by a person: a workload cannot look into it',
      );
    }
    const placed = await this.commands.execute<ConfirmHold, Placed>(new ConfirmHold(command, hold, reason));
    await settlePlaced(this.keyturn, placed, reply);
    return this.#view(command.principal);
  }

  async #view(caller: Principal): Promise<HoldsView> {
    const { state } = await this.keyturn.ledger.holds();
    const now = this.keyturn.clock.now();
    return {
      open: openHolds(state),
      freezes: state.freezes
        .filter((freeze) => inForce(freeze, now) && concerns(freeze, caller.scope))
        .map((freeze) => freezeView(freeze, now)),
    };
  }
}
