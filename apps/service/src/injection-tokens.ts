/** What `AppModule` provides beside its classes. */

/** The `Keyturn` of this process. */
export const KEYTURN = Symbol('KEYTURN');
/** `() => OpenAPIObject`. */
export const OPENAPI_DOCUMENT = Symbol('OPENAPI_DOCUMENT');
