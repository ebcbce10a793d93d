import { Controller, Get, Inject } from '@nestjs/common';
import type { BackEndHealth } from '#custody/vault';
import { DomainError, formatInstant } from '#eventlog';
import { ApiTags } from './http/api-description.js';
import type { Keyturn } from './composition.js';
import { Public } from './http/access.guard.js';
import { KEYTURN } from './injection-tokens.js';

interface BackEndReadiness {
  readonly state: BackEndHealth['state'];
  /** When it last answered anything; `null`: not since this start. */
  readonly answeredAt: string | null;
}

@ApiTags('health')
@Controller('health')
export class HealthController {
  constructor(@Inject(KEYTURN) private readonly keyturn: Keyturn) {}

  /** The process answers. Asks nothing of the log: a full disk is no reason to be restarted. */
  @Get('live')
  @Public()
  live(): { readonly status: 'live' } {
    return { status: 'live' };
  }

  /**
   * Requests may be sent here: the log is open, the read model has caught up once and is fed. An altered event is said, and
   * takes nothing away: a lone node that its balancer drained could not be asked for an emergency, which must go on.
   */
  @Get('ready')
  @Public()
  async ready(): Promise<{
    readonly status: 'ready';
    readonly treeSize: number;
    readonly readModel: number;
    /** What in the log is not what was written; `null`: nothing was found. */
    readonly integrity: string | null;
    /** Those that lie elsewhere, by name. One that is away takes nothing away from this service. */
    readonly backEnds: Readonly<Record<string, BackEndReadiness>>;
  }> {
    const { log, readModel, integrity, vault } = this.keyturn;
    const reason = this.keyturn.unready();
    if (reason !== undefined) throw new DomainError('service.not-ready', `Not ready: ${reason}`);
    return {
      status: 'ready',
      treeSize: await log.treeSize(),
      readModel: readModel.treeSize(),
      integrity: integrity.summary() ?? null,
      backEnds: Object.fromEntries(
        vault
          .health()
          .map(({ instance, state, answeredAt }) => [
            instance,
            { state, answeredAt: answeredAt === undefined ? null : formatInstant(answeredAt) },
          ]),
      ),
    };
  }
}
