import type * as Swagger from '@nestjs/swagger';

/**
 * The decorators of @nestjs/swagger under their own names, applied when the OpenAPI document is first made: the package and
 * the JSON Schemas are a third of what a start would read, and most starts are never asked for them.
 */

type Package = typeof Swagger;

const pending: ((swagger: Package) => void)[] = [];

/** Applies what was said since the last time: a document that is made then has it. */
export function applyDescriptions(swagger: Package): void {
  for (const apply of pending.splice(0)) apply(swagger);
}

function ofClass(pick: (swagger: Package) => ClassDecorator): ClassDecorator {
  return (target) => {
    pending.push((swagger) => {
      pick(swagger)(target);
    });
  };
}

export function ofMethod(pick: (swagger: Package) => MethodDecorator): MethodDecorator {
  return (target, key) => {
    pending.push((swagger) => {
      const descriptor = Object.getOwnPropertyDescriptor(target, key);
      if (descriptor !== undefined) pick(swagger)(target, key, descriptor);
    });
  };
}

export const ApiTags = (tag: string): ClassDecorator => ofClass((swagger) => swagger.ApiTags(tag));
export const ApiExcludeController = (): ClassDecorator =>
  ofClass((swagger) => swagger.ApiExcludeController());
export const ApiBearerAuth = (): MethodDecorator => ofMethod((swagger) => swagger.ApiBearerAuth());
export const ApiExtension = (name: string, value: string): MethodDecorator =>
  ofMethod((swagger) => swagger.ApiExtension(name, value));
export const ApiProduces = (type: string): MethodDecorator =>
  ofMethod((swagger) => swagger.ApiProduces(type));
export const ApiHeader = (header: Swagger.ApiHeaderOptions): MethodDecorator =>
  ofMethod((swagger) => swagger.ApiHeader(header));
