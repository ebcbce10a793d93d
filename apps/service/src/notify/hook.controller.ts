import { Controller, HttpCode, Inject, Post } from '@nestjs/common';
import { z } from 'zod';
import { DomainError, formatInstant } from '#eventlog';
import { deliveryId, HOOK, type Alarm } from '#notify';
import { ApiTags } from '../http/api-description.js';
import type { Keyturn } from '../composition.js';
import { RequiresPermission, requireAllowed } from '../http/access.guard.js';
import type { CommandContext } from '../http/command-context.js';
import { RequestCommand } from '../http/request-context.js';
import { ZodBody } from '../http/validation.js';
import { KEYTURN } from '../injection-tokens.js';
import { hookOf } from './hook.js';

interface HookTest {
  readonly delivery: string;
  readonly target: string;
  readonly delivered: boolean;
  readonly attempts: number;
  /** `null` where it was taken. */
  readonly failure: { readonly outcome: string; readonly reason: string } | null;
}

@ApiTags('hook')
@Controller('api/v1/hook')
export class HookController {
  constructor(@Inject(KEYTURN) private readonly keyturn: Keyturn) {}

  /** Sends a test alarm to the outgoing hook, as a real one is sent, and answers what came of its first attempt. */
  @Post('test')
  @HttpCode(200)
  @RequiresPermission('hook:test')
  async test(
    @ZodBody(z.strictObject({})) _body: unknown,
    @RequestCommand() command: CommandContext,
  ): Promise<HookTest> {
    requireAllowed(command.principal, 'hook:test', 'everything');
    const hook = hookOf(this.keyturn);
    if (hook === undefined) {
      throw new DomainError(
        'hook.not-configured',
        'no hook is configured: set KEYTURN_HOOK_URL with KEYTURN_HOOK_SECRET_FILE, or KEYTURN_HOOK_COMMAND',
      );
    }
    const { store, clock } = this.keyturn;
    const alarm: Alarm = {
      type: 'hook.test',
      // A repeat of the command is the same delivery.
      key: command.commandId,
      at: formatInstant(clock.now()),
      text: 'A test of the outgoing hook: nothing is wrong.',
    };
    const id = deliveryId(store.logId, HOOK, alarm);
    const { ended, attempts, failure } = await hook.deliver(id, { alarm });
    const delivered = ended === 'delivered';
    return {
      delivery: id,
      target: hook.target,
      delivered,
      attempts,
      failure: delivered ? null : (failure ?? null),
    };
  }
}
