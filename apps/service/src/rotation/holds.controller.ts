import { Controller, Get, HttpCode, Inject, Post } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { textSchema } from '#rotation';
import { ConfirmRestore, restoreHold, type RestoreHoldView } from '#rotation/application';
import type { Keyturn } from '../composition.js';
import { RequiresPermission, requireAllowed } from '../http/access.guard.js';
import type { CommandContext } from '../http/command-context.js';
import { RequestCommand } from '../http/request-context.js';
import { ZodBody } from '../http/validation.js';
import { KEYTURN } from '../injection-tokens.js';

const confirmBody = z.strictObject({
  /** What was compared, and what was found. */
  reason: textSchema,
});

@ApiTags('holds')
@Controller('api/v1/holds')
export class HoldsController {
  constructor(
    @Inject(CommandBus) private readonly commands: CommandBus,
    @Inject(KEYTURN) private readonly keyturn: Keyturn,
  ) {}

  /** Whether forward steps are held because the log is older than its back ends, since when, and why. */
  @Get('restore')
  @RequiresPermission('rotation:read')
  restore(): Promise<RestoreHoldView> {
    return restoreHold(this.keyturn.store);
  }

  /** A person compared log and back ends: rotations go on. It concerns all of them, so a scoped token may not. */
  @Post('restore/confirm')
  @HttpCode(200)
  @RequiresPermission('rotation:operate')
  async confirm(
    @ZodBody(confirmBody) { reason }: z.output<typeof confirmBody>,
    @RequestCommand() command: CommandContext,
  ): Promise<RestoreHoldView> {
    requireAllowed(command.principal, 'rotation:operate', 'everything');
    const placed = await this.commands.execute<ConfirmRestore, { stream: string; revision: number }>(
      new ConfirmRestore(command, reason),
    );
    await this.keyturn.settle(placed);
    return restoreHold(this.keyturn.store);
  }
}
