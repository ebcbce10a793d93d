import type { CompletedCommand, Place } from './command-tree.js';

/**
 * Completion scripts. Commands, options and choices stand in them, so that a TAB does not start a process; only names of
 * families and rotations are asked of the service, and never waited for longer than three seconds.
 */

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

export function completionScript(shell: Shell, commands: readonly CompletedCommand[]): string {
  return { bash, zsh, fish }[shell](commands);
}

/** What a shell is told of a place: words to choose from, or what to look for. */
function told({ kind, choices }: Place): string {
  return choices.length > 0 ? `words ${choices.join(' ')}` : kind;
}

interface Table {
  readonly paths: string;
  readonly commands: string;
  readonly options: string;
  readonly values: string;
  readonly places: string;
}

/** The same `case` tables for bash and zsh. */
function tableOf(commands: readonly CompletedCommand[]): Table {
  const rows = (of: (command: CompletedCommand) => readonly string[]): string =>
    commands.flatMap((command) => of(command).map((row) => `    ${row} ;;`)).join('\n');
  const key = (path: string): string => (path === '' ? "''" : path);
  return {
    paths: commands
      .filter(({ path }) => path !== '')
      .map(({ path }) => path)
      .join('|'),
    commands: rows(({ path, commands: names }) =>
      names.length === 0 ? [] : [`${key(path)}) echo "${names.map(({ name }) => name).join(' ')}"`],
    ),
    options: rows(({ path, options }) => [
      `${key(path)}) echo "${options.flatMap(({ names }) => names).join(' ')}"`,
    ]),
    values: rows(({ path, options }) =>
      options.flatMap(({ names, value }) =>
        value === undefined ? [] : names.map((name) => `'${path} ${name}') echo "${told(value)}"`),
      ),
    ),
    places: rows(({ path, places, several }) =>
      places.map((place, index) => {
        const last = several && index === places.length - 1;
        return `'${path} '${last ? `[${index}-9]` : String(index)}) echo "${told(place)}"`;
      }),
    ),
  };
}

/** Walks the words before the one that is typed: which command, and how many arguments of it. */
const WALK = `
  while [ $i -lt $current ]; do
    word="\${typed[$i]}"
    i=$((i + 1))
    if [ -n "$awaited" ]; then
      # --option=value comes in three words
      [ "$word" = "=" ] || awaited=""
      continue
    fi
    case "$word" in
      --) options=""; continue ;;
      -*)
        [ -n "$(_keyturn_value "$path $word")" ] && awaited="$word"
        continue ;;
    esac
    case "$path/$word" in
      __PATHS__) path="$path/$word" ;;
      *) nth=$((nth + 1)) ;;
    esac
  done
  if [ -n "$awaited" ]; then
    what="$(_keyturn_value "$path $awaited")"
  elif [ -n "$options" ] && [ "\${cur#-}" != "$cur" ]; then
    what="words $(_keyturn_options "$path")"
  else
    what="$(_keyturn_place "$path $nth")"
    [ "$nth" -eq 0 ] && names="$(_keyturn_commands "$path")"
  fi`;

function functions({ commands, options, values, places }: Table): string {
  const named = (name: string, table: string): string => `_keyturn_${name}() {
  case "$1" in
${table}
  esac
}`;
  return [
    named('commands', commands),
    named('options', options),
    named('value', values),
    named('place', places),
    `_keyturn_names() {
  local limit=""
  command -v timeout >/dev/null 2>&1 && limit="timeout 3"
  $limit "$1" completion "$2" 2>/dev/null
}`,
  ].join('\n');
}

function bash(all: readonly CompletedCommand[]): string {
  const table = tableOf(all);
  return `# Completion of keyturn for bash. For this shell: source <(keyturn completion bash)
# For every one: keyturn completion bash > ~/.local/share/bash-completion/completions/keyturn
${functions(table)}
_keyturn() {
  local cur word what="" names="" path="" awaited="" options=yes nth=0 i=1 current=$COMP_CWORD
  local -a typed=("\${COMP_WORDS[@]}")
  cur="\${COMP_WORDS[COMP_CWORD]}"
  [ "$cur" = "=" ] && cur=""
${WALK.replace('__PATHS__', table.paths)}
  COMPREPLY=()
  local line
  case "$what" in
    words\\ *) names="$names \${what#words }" ;;
    family|rotation)
      local kind=families
      [ "$what" = rotation ] && kind=rotations
      # A name may hold spaces: what was typed so far is compared without its quotes, what is found is put into some.
      cur="\${cur//\\\\/}" cur="\${cur#\\"}" cur="\${cur#\\'}"
      while IFS= read -r line; do
        case "$line" in "$cur"*) COMPREPLY+=("$(printf '%q' "$line")") ;; esac
      done < <(_keyturn_names "\${COMP_WORDS[0]}" "$kind") ;;
    file|folder)
      compopt -o filenames 2>/dev/null
      local only=-f
      [ "$what" = folder ] && only=-d
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen "$only" -- "$cur") ;;
  esac
  if [ -n "$names" ]; then
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -W "$names" -- "$cur")
  fi
}
complete -F _keyturn keyturn
`;
}

function zsh(all: readonly CompletedCommand[]): string {
  const table = tableOf(all);
  return `#compdef keyturn
# Completion of keyturn for zsh. For this shell: source <(keyturn completion zsh)
# For every one: keyturn completion zsh > "\${fpath[1]}/_keyturn"
${functions(table)}
_keyturn() {
  emulate -L zsh -o ksh_arrays -o no_nomatch
  local cur word what="" names="" path="" awaited="" options=yes nth=0 i=1 current=$((CURRENT - 1))
  local -a typed
  typed=("\${words[@]}")
  cur="\${words[$((CURRENT - 1))]}"
  local prefix=""
  case "$cur" in --*=*)
    awaited="\${cur%%=*}"; prefix="$awaited="
  ;; esac
  local before="$awaited"; awaited=""
${WALK.replace('__PATHS__', table.paths)}
  [ -n "$before" ] && what="$(_keyturn_value "$path $before")" && names=""
  emulate -L zsh
  [ -n "$prefix" ] && compset -P "$prefix"
  [ -n "$names" ] && compadd -- \${=names}
  case "$what" in
    words\\ *) compadd -- \${=what#words } ;;
    family) compadd -- \${(f)"$(_keyturn_names "\${words[1]}" families)"} ;;
    rotation) compadd -- \${(f)"$(_keyturn_names "\${words[1]}" rotations)"} ;;
    file) _files ;;
    folder) _files -/ ;;
  esac
}
if [ "$funcstack[1]" = "_keyturn" ]; then _keyturn "$@"; else compdef _keyturn keyturn; fi
`;
}

/** fish has a table of its own; a command is known by the words that were typed before. */
function fish(all: readonly CompletedCommand[]): string {
  const lines: string[] = [];
  const fishQuoted = (text: string): string =>
    `'${text.replaceAll('\\', '\\\\').replaceAll("'", String.raw`\'`)}'`;
  const when = (path: string): string => `__keyturn_at ${path === '' ? "''" : path}`;
  const values = (place: Place): string =>
    place.choices.length > 0
      ? `-xa ${fishQuoted(place.choices.join(' '))}`
      : {
          family: `-xa '(__keyturn_names families)'`,
          rotation: `-xa '(__keyturn_names rotations)'`,
          file: '-rF',
          folder: `-xa '(__fish_complete_directories)'`,
          text: '-x',
        }[place.kind];
  for (const { path, commands, options, places, several } of all) {
    for (const { name, about } of commands) {
      lines.push(
        `complete -c keyturn -n ${fishQuoted(`${when(path)} 0`)} -xa ${name} -d ${fishQuoted(about)}`,
      );
    }
    for (const [index, place] of places.entries()) {
      const nth = several && index === places.length - 1 ? `${index}+` : String(index);
      if (place.kind !== 'text' || place.choices.length > 0) {
        const given = place.kind === 'file' ? '-F' : values(place);
        lines.push(`complete -c keyturn -n ${fishQuoted(`${when(path)} ${nth}`)} ${given}`);
      }
    }
    for (const { names, about, value } of options) {
      const long = names.flatMap((name) =>
        name.startsWith('--') ? [`-l ${name.slice(2)}`] : [`-s ${name.slice(1)}`],
      );
      lines.push(
        `complete -c keyturn -n ${fishQuoted(when(path))} ${long.join(' ')} ${value === undefined ? '' : `${values(value)} `}-d ${fishQuoted(about)}`,
      );
    }
  }
  const valued = all.flatMap(({ path, options }) =>
    options.flatMap(({ names, value }) =>
      value === undefined ? [] : names.map((name) => `'${path} ${name}'`),
    ),
  );
  return `# Completion of keyturn for fish. For this shell: keyturn completion fish | source
# For every one: keyturn completion fish > ~/.config/fish/completions/keyturn.fish
function __keyturn_place
  set -l path ''
  set -l nth 0
  set -l awaited ''
  for word in (commandline -opc)[2..]
    if test -n "$awaited"
      set awaited ''
      continue
    end
    switch $word
      case '-*'
        contains -- "$path $word" ${valued.join(' ')}; and set awaited $word
        continue
    end
    switch "$path/$word"
      case ${all
        .filter(({ path }) => path !== '')
        .map(({ path }) => path)
        .join(' ')}
        set path "$path/$word"
      case '*'
        set nth (math $nth + 1)
    end
  end
  echo $path
  echo $nth
end
function __keyturn_at
  set -l place (__keyturn_place)
  test "$place[1]" = "$argv[1]"; or return 1
  test (count $argv) -lt 2; and return 0
  string match -q '*+' -- $argv[2]; and test $place[2] -ge (string trim -c + -- $argv[2]); and return 0
  test "$place[2]" = "$argv[2]"
end
function __keyturn_names
  command keyturn completion $argv[1] 2>/dev/null
end
complete -c keyturn -f
${lines.join('\n')}
`;
}
