import { Module, type INestApplicationContext, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  Command,
  CommandBus,
  CommandHandler,
  CqrsModule,
  EventBus,
  EventsHandler,
  Saga,
  type ICommandHandler,
  type IEventHandler,
} from '@nestjs/cqrs';
import { map, type Observable } from 'rxjs';
import 'reflect-metadata';

/**
 * What @nestjs/cqrs promises and what it does not, as docs/adr/0002 relies on it. A probe that goes red is no defect of
 * Keyturn: the library changed, and the decision is to be looked at again.
 */

class Moved {
  constructor(readonly name: string) {}
}

class Advance extends Command<string> {
  constructor(readonly name: string) {
    super();
  }
}

const executed: string[] = [];
const handled: string[] = [];

class AdvanceHandler implements ICommandHandler<Advance> {
  execute({ name }: Advance): Promise<string> {
    executed.push(name);
    return name === 'refused' ? Promise.reject(new Error('refused')) : Promise.resolve(`advanced ${name}`);
  }
}
CommandHandler(Advance)(AdvanceHandler);

class MovedHandler implements IEventHandler<Moved> {
  async handle({ name }: Moved): Promise<void> {
    await ticks(name === 'slow' ? 20 : 1);
    handled.push(name);
  }
}
EventsHandler(Moved)(MovedHandler);

class MovedSaga {
  @Saga()
  moved = (events: Observable<unknown>): Observable<Advance> =>
    events.pipe(
      map((event) => {
        if (!(event instanceof Moved)) throw new Error('not a Moved');
        if (event.name === 'poison') throw new Error('poison');
        return new Advance(event.name);
      }),
    );
}

function ticks(count: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, count * 5);
  });
}

async function opened(...providers: readonly Type[]): Promise<INestApplicationContext> {
  class Probe {}
  Module({ imports: [CqrsModule.forRoot()], providers: [...providers] })(Probe);
  const context = await NestFactory.createApplicationContext(Probe, { logger: false });
  await context.init();
  return context;
}

describe('@nestjs/cqrs, probed', () => {
  let context: INestApplicationContext;

  beforeEach(() => {
    executed.length = 0;
    handled.length = 0;
  });

  afterEach(async () => {
    await context.close();
  });

  it('loses a saga for good after one event it cannot take', async () => {
    context = await opened(AdvanceHandler, MovedSaga);
    const events = context.get(EventBus);
    for (const name of ['a', 'poison', 'c', 'd']) await events.publish(new Moved(name));
    await ticks(4);
    expect(executed).toEqual(['a']);
  });

  it('never repeats a command that a saga sent and that failed', async () => {
    context = await opened(AdvanceHandler, MovedSaga);
    const events = context.get(EventBus);
    for (const name of ['refused', 'b']) await events.publish(new Moved(name));
    await ticks(4);
    expect(executed).toEqual(['refused', 'b']);
  });

  it('comes back from publish before anything was handled, with nothing to wait for', async () => {
    context = await opened(MovedHandler);
    const answer: unknown = context.get(EventBus).publish(new Moved('a'));
    expect(answer).toBeUndefined();
    expect(handled).toEqual([]);
    await ticks(4);
    expect(handled).toEqual(['a']);
  });

  it('handles events side by side, in no order', async () => {
    context = await opened(MovedHandler);
    const events = context.get(EventBus);
    for (const name of ['slow', 'fast']) await events.publish(new Moved(name));
    await ticks(40);
    expect(handled).toEqual(['fast', 'slow']);
  });

  it('finds no handler for a command that is plain data', async () => {
    context = await opened(AdvanceHandler);
    const commands = context.get(CommandBus);
    const attempt = Promise.resolve().then(() => commands.execute({ name: 'a' }));
    await expect(attempt).rejects.toThrow(/no handler found.*Object/iu);
    expect(executed).toEqual([]);
  });

  it('brings answer and error of a command back to its caller: what the use cases rely on', async () => {
    context = await opened(AdvanceHandler);
    const commands = context.get(CommandBus);
    await expect(commands.execute(new Advance('a'))).resolves.toBe('advanced a');
    await expect(commands.execute(new Advance('refused'))).rejects.toThrow('refused');
  });
});
