import 'reflect-metadata';
import { Body, Controller, Module, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';

/** The bare floor: Nest on Fastify, one POST that reads a JSON body and answers one. */
@Controller()
class HelloController {
  @Post('hello')
  hello(@Body() body: { readonly name?: string }): { readonly hello: string } {
    return { hello: body.name ?? 'world' };
  }
}

@Module({ controllers: [HelloController] })
class HelloModule {}

const app = await NestFactory.create<NestFastifyApplication>(HelloModule, new FastifyAdapter(), {
  logger: false,
});
await app.listen(0, '127.0.0.1');
process.stdout.write(`Hello listens on ${await app.getUrl()}\n`);
process.on('SIGTERM', () => {
  void app.close();
});
