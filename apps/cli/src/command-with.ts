import { shellWord } from '#rotation';

/** What a command is to find, wherever the shell it is copied into points. */
export interface Around {
  readonly dataDir: string;
  /** Absent: nothing is said of it. */
  readonly masterKeyFile?: string | undefined;
  /** KEYTURN_MASTER_KEY is set, and would be taken in the place of the file. */
  readonly dropsKey: boolean;
}

/** A command with the settings it needs before it: as it is copied, it looks at this data directory and no other. */
export function commandWith({ dataDir, masterKeyFile, dropsKey }: Around, command: string): string {
  return [
    ...(dropsKey && masterKeyFile !== undefined ? ['env -u KEYTURN_MASTER_KEY'] : []),
    `KEYTURN_DATA_DIR=${shellWord(dataDir)}`,
    ...(masterKeyFile === undefined ? [] : [`KEYTURN_MASTER_KEY_FILE=${shellWord(masterKeyFile)}`]),
    command,
  ].join(' ');
}
