export interface DemoOptions {
  /** End once everything was shown, instead of staying up for the dashboard. */
  readonly exit: boolean;
  readonly directory?: string;
  readonly port?: number;
}

/** Runs Keyturn on example data and walks through it. Answers the exit code. */
export function runDemo(_options: DemoOptions): Promise<number> {
  return Promise.reject(new Error('not wired yet'));
}
