import { Controller, Get, Inject, Res } from '@nestjs/common';
import { ApiProduces, ApiTags } from './http/api-description.js';
import type { Keyturn } from './composition.js';
import { RequiresPermission } from './http/access.guard.js';
import type { HttpReply } from './http/request-context.js';
import { KEYTURN } from './injection-tokens.js';
import { Metrics } from './metrics.js';

@ApiTags('health')
@Controller('metrics')
export class MetricsController {
  readonly #metrics: Metrics;

  constructor(@Inject(KEYTURN) keyturn: Keyturn) {
    this.#metrics = new Metrics(keyturn);
  }

  /**
   * For Prometheus, with a token like everything else (`authorization` in its scrape configuration): how many rotations
   * are suspended or overdue tells an attacker when to come.
   */
  @Get()
  @RequiresPermission('metrics:read')
  @ApiProduces('text/plain')
  async scrape(@Res({ passthrough: true }) reply: HttpReply): Promise<string> {
    const { contentType, text } = await this.#metrics.scrape();
    reply.header('content-type', contentType);
    return text;
  }
}
