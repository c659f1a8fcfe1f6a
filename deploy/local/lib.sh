# shellcheck shell=bash
# Functions that start, find, await and stop background processes, and that download programs. Every
# script sources this file, which also prints the first comment of the script as its --help.
#
# The files of a stack are in .local/NAME: data, logs/PROCESS.log, run/PROCESS.pid,
# run/PROCESS.port, env. Compatible with bash 3.2, which macOS ships.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
script=${0##*/}
script_file=$0
[[ $script_file == /* ]] || script_file=$PWD/$script_file
known=() # the processes that a script manages
# rustup installs cargo here. A shell that was opened before that does not have it in PATH.
PATH=$PATH:${HOME:-}/.cargo/bin
# Debian and Homebrew install pgbench in one of these folders.
for folder in /usr/lib/postgresql/*/bin /opt/homebrew/opt/libpq/bin /usr/local/opt/libpq/bin; do
  [[ ! -x $folder/pgbench ]] || PATH=$folder:$PATH
done
# shellcheck disable=SC2034 # for the scripts
services=(inventory-mock sales-api outbox-relay delivery-service status-consumer console)

say() { printf '%s\n' "$*"; }

fail() {
  printf '%s: %s\n' "$script" "$*" >&2
  exit 1
}

usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$script_file"; }

case ${1-} in
  -h | --help) usage && exit ;;
esac

# Sets `state`, `run` and `logs` to the folders of a stack.
use_stack() { # NAME
  case $1 in
    dist | locks | list) fail "invalid stack name '$1': it is reserved; choose another name" ;;
    *[!a-z0-9-]* | -* | '') fail "invalid stack name '$1': use lower-case letters, digits and '-', and do not start with '-'" ;;
  esac
  stack=$1
  state=$root/.local/$1
  run=$state/run
  logs=$state/logs
}

# Holds an exclusive lock, on file descriptor 9, until this shell ends. Lock files are never
# deleted: a process that waits for a deleted file would lock it while others lock a new file.
lock() { # FILE WHAT
  mkdir -p "${1%/*}"
  exec 9>"$1"
  flock_9 -n && return
  say "$script: waiting for $2"
  flock_9
}

flock_9() { # [-n]
  if command -v flock >/dev/null; then
    flock "$@" 9
  else
    # macOS has no flock(1). The lock belongs to the open file, so it outlives this perl.
    perl -MFcntl=:flock \
      -e 'open my $lock, ">&=", 9 or die; flock $lock, LOCK_EX | (@ARGV ? LOCK_NB : 0) or exit 1' -- "$@"
  fi
}

# The processes in the arguments, or all of `known` if there is none.
choose_processes() { # sets processes, follow
  local argument
  processes=() follow=''
  for argument in "$@"; do
    if [[ " ${known[*]} " == *" $argument "* ]]; then
      processes+=("$argument")
    elif [[ $argument == -f || $argument == --follow ]]; then
      follow=yes
    else
      fail "unknown argument '$argument'; use one of: ${known[*]}"
    fi
  done
  ((${#processes[@]})) || processes=("${known[@]}")
}

# ---- processes

# The system can reuse a pid. A pid together with its start time identifies one process. Fails for a
# zombie, because in a container it may never be reaped. A zombie that still has threads (the 20th
# field) counts as running, because the threads hold its ports.
start_time_of() { # PID, sets start_time
  local line fields
  if [[ -d /proc/self ]]; then
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
    # The second field is the command in parentheses, which may contain any character. The third is
    # the state.
    read -ra fields <<<"${line##*) }"
    [[ ${fields[0]} != [ZX] || ${fields[17]} -gt 1 ]] && start_time=${fields[19]}
  else
    line=$(ps -o stat= -o lstart= -p "$1" 2>/dev/null) && [[ $line != Z* ]] || return 1
    start_time=${line#* }
    start_time=${start_time// /}
  fi
}

# shellcheck disable=SC2034 # running_version is for `services`
is_running() { # PROCESS, sets pid, running_version
  local recorded
  { read -r pid recorded running_version <"$run/$1.pid"; } 2>/dev/null &&
    start_time_of "$pid" && [[ $start_time == "$recorded" ]]
}

# Starts a command that survives this shell and its terminal, and inherits none of its open files:
# neither a pipe (`make up | cat` returns) nor a lock. Records VERSION for `is_running`.
launch() { # PROCESS VERSION COMMAND...
  local process=$1 version=$2 detach=(setsid)
  shift 2
  # shellcheck disable=SC2016 # the variables are perl's
  command -v setsid >/dev/null || detach=(perl -MPOSIX -e 'POSIX::setsid(); exec @ARGV or die "$ARGV[0]: $!\n"')
  mkdir -p "$run" "$logs"
  # The offset in the log at which this start begins, for `latest_log`.
  { wc -c <"$logs/$process.log" || echo 0; } 2>/dev/null >"$run/$process.log-begin"
  (
    for fd in /dev/fd/*; do
      fd=${fd##*/}
      [[ $fd == [0-2] ]] || eval "exec $fd>&-"
    done
    exec "${detach[@]}" "$@" </dev/null >>"$logs/$process.log" 2>&1
  ) &
  pid=$!
  start_time_of "$pid" || start_time=gone
  say "$pid $start_time $version" >"$run/$process.pid"
}

# Starts processes and waits until all are ready. The sourcing script defines `start_missing
# PROCESS...`, which skips running processes, and `is_ready PROCESS`.
bring_up() { # PROCESS...
  local process failure
  start_missing "$@"
  for process in "$@"; do
    await_ready "$process" && continue
    say "$script: $failure; the end of ${logs#"$root/"}/$process.log:" >&2
    latest_log "$process" | tail -n 15 | sed 's/^/    /' >&2
    exit 1
  done
}

await_ready() { # PROCESS, sets failure
  local code deadline=$((SECONDS + 60))
  until is_ready "$1"; do
    if is_running "$1"; then
      failure="$1 (pid $pid) is not ready after 60 s"
      ((SECONDS < deadline)) || return 1
    else
      code=0
      wait "$pid" 2>/dev/null || code=$?
      failure="$1 ended before it was ready (exit code $code)"
      ((SECONDS < deadline)) || return 1
      # 127 means that another shell started the process, which was found running while it was ending,
      # as right after a kill -9.
      if ((code == 127)) || ended_early "$1"; then start_missing "$1"; else return 1; fi
    fi
    sleep 0.05
  done
}

# Whether a process ended for a reason that passes. `stack` knows one.
ended_early() { false; } # PROCESS

# Prints the log since the last start.
latest_log() { # PROCESS
  local begin=0
  { read -r begin <"$run/$1.log-begin"; } 2>/dev/null || true
  tail -c "+$((begin + 1))" "$logs/$1.log"
}

# Signals all processes first, so that they end concurrently, then waits for each. Kills processes
# that are still running after 20 seconds.
stop_processes() { # PROCESS...
  local deadline=$((SECONDS + 20)) process stopped='' killed default
  for process in "$@"; do
    is_running "$process" || continue
    # PostgreSQL does a fast shutdown; with TERM it would wait until every client has disconnected.
    default=TERM
    [[ $process != postgres ]] || default=INT
    kill -s "${signal:-$default}" "$pid" 2>/dev/null || ! is_running "$process" ||
      fail "cannot stop $process (pid $pid): it belongs to another user; stop it as that user"
    stopped+=" $process"
  done
  for process in "$@"; do
    killed=''
    while is_running "$process"; do
      if [[ ! $killed ]] && ((SECONDS >= deadline)); then
        killed=yes
        say "$process (pid $pid) did not end in time and is killed"
        kill -s KILL "$pid" 2>/dev/null || true
      fi
      sleep 0.05
    done
    rm -f "$run/$process.pid"
  done
  if [[ $stopped ]]; then say "stopped$stopped"; else say "nothing was running"; fi
}

# Stops all processes of the stack, also the services that run on it.
stop_stack() {
  local file processes=()
  for file in "$run"/*.pid; do
    [[ ! -e $file ]] || processes+=("$(basename "$file" .pid)")
  done
  ((${#processes[@]} == 0)) || stop_processes "${processes[@]}"
}

# Fails unless all are ready.
show_status() { # PROCESS...
  local process state_now ready ports all=0 row='%-17s %-8s %8s  %-12s %s\n'
  # shellcheck disable=SC2059 # the format is above
  printf "$row" PROCESS STATE PID PORTS READY
  for process in "$@"; do
    ready=yes state_now=running
    is_ready "$process" || ready=no all=1
    is_running "$process" || state_now=stopped pid=-
    ports=$(cat "$run/$process.port" "$run/$process-management.port" 2>/dev/null | paste -sd , - || true)
    # shellcheck disable=SC2059
    printf "$row" "$process" "$state_now" "$pid" "${ports:--}" "$ready"
  done
  return "$all"
}

show_logs() { # -f or '', PROCESS...
  local follow=$1 process files=()
  shift
  for process in "$@"; do
    [[ -e $logs/$process.log ]] && files+=("$logs/$process.log")
  done
  ((${#files[@]})) || fail "no logs yet"
  if [[ $follow ]]; then exec tail -n 50 -F "${files[@]}"; else exec tail -n 200 "${files[@]}"; fi
}

# ---- ports, all on 127.0.0.1

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
  local port
  while :; do
    # Below the ephemeral port range, from which the system takes ports for outgoing connections.
    port=$((20000 + RANDOM % 12000))
    port_taken "$port" || grep -qsx "$port" "$root"/.local/*/run/*.port && continue
    echo "$port"
    return
  done
}

# Precedence: the requested port, the recorded port, the default.
choose_port() { # PROCESS REQUESTED DEFAULT, sets port
  port=$2
  [[ $port ]] || { read -r port <"$run/$1.port"; } 2>/dev/null || port=$3
  [[ $port =~ ^[0-9]{1,5}$ ]] || fail "invalid port number '$port' for $1"
}

record_port() { # PROCESS PORT
  say "$2" >"$run/$1.port"
}

require_free_port() { # PROCESS PORT [VARIABLE]
  local holder=''
  port_taken "$2" || return 0
  if command -v ss >/dev/null; then
    holder=$(ss -Hltnp "sport = :$2" | sed -n 's/.*(("\([^"]*\)",pid=\([0-9]*\).*/\1, pid \2/p' | head -n 1)
  elif command -v lsof >/dev/null; then
    holder=$(lsof -nP -iTCP:"$2" -sTCP:LISTEN | awk 'NR == 2 {print $1 ", pid " $2}')
  fi
  holder=${holder:-a process of another user}
  fail "port $2 for $1 is in use by $holder: stop that process${3:+, or choose another port: $3=$(free_port) make up}"
}

# ---- environment

# Writes the stack's `env` from its ports, for a shell to source.
write_env() {
  local file postgres_port kafka_port api_port inventory_port console_port password=sales
  # PostgreSQL in a container takes its password from .env.
  [[ ! -s $state/postgres-password ]] || password=$(<"$state/postgres-password")
  choose_port postgres '' '' && postgres_port=$port
  choose_port kafka '' '' && kafka_port=$port
  for file in "$run"/kafka-[2-9].port; do
    [[ ! -e $file ]] || kafka_port+=,127.0.0.1:$(<"$file")
  done
  choose_port sales-api '' 3000 && api_port=$port
  choose_port inventory-mock '' 3001 && inventory_port=$port
  choose_port console '' 3002 && console_port=$port
  (
    umask 077
    [[ -s $state/jwt-secret ]] || head -c 32 /dev/urandom | od -An -vtx1 | tr -d ' \n' >"$state/jwt-secret"
    cat >"$state/env.new" <<END
export SALES_STACK=$stack
export DATABASE_URL=postgres://sales:$password@127.0.0.1:$postgres_port/sales
export KAFKA_BROKERS=127.0.0.1:$kafka_port
export JWT_SECRET=$(<"$state/jwt-secret")
export API_URL=http://127.0.0.1:$api_port
export INVENTORY_URL=http://127.0.0.1:$inventory_port
export CONSOLE_URL=http://127.0.0.1:$console_port
END
  )
  mv "$state/env.new" "$state/env"
}

# Exports the variables of .env and of the stack's env that are not set yet, in that precedence. The
# files are parsed, not sourced, in the format of compose: NAME=VALUE lines with an optional
# `export`, optional quotes around the whole value, and an optional comment after white space.
load_env() {
  local file line number name value
  local quoted="^(\"[^\"]*\"|'[^']*')[[:space:]]*(#.*)?\$" comment='^(.*[[:space:]])#'
  [[ -r $state/env ]] || fail "stack $stack has never been up: make up"
  for file in "$root/.env" "$state/env"; do
    [[ -r $file ]] || continue
    number=0
    while IFS= read -r line || [[ $line ]]; do
      number=$((number + 1)) line=${line%$'\r'}
      [[ ! $line =~ ^[[:space:]]*(#.*)?$ ]] || continue
      if [[ ! $line =~ ^[[:space:]]*(export[[:space:]]+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$ ]]; then
        # The line may contain a secret, so it is not printed.
        say "$script: ignoring line $number of ${file#"$root/"}: expected NAME=value" >&2
        continue
      fi
      name=${BASH_REMATCH[2]}
      value=${BASH_REMATCH[3]}
      # The stack's secret applies only if no other key is configured.
      [[ $name == JWT_SECRET && $file == "$state/env" && ${JWT_PUBLIC_KEY-}${JWT_JWKS_FILE-}${JWT_JWKS_URL-} ]] && continue
      if [[ $value =~ $quoted ]]; then
        value=${BASH_REMATCH[1]:1:${#BASH_REMATCH[1]}-2}
      else
        while [[ $value =~ $comment ]]; do value=${BASH_REMATCH[1]}; done
        value=${value#"${value%%[![:space:]]*}"} value=${value%"${value##*[![:space:]]}"}
      fi
      [[ ${!name+set} ]] || export "$name=$value"
    done <"$file"
  done
}

# ---- downloaded programs

# Sets `tools` to a folder with the files that FETCH puts into `new`. The name of the folder
# contains a checksum of VERSIONS. The folder is moved into place as a whole: if it exists, it is
# complete.
locate_tools() { # NAME VERSIONS FETCH [FOLDER]
  local folder=${4:-${SALES_TOOLS_DIR:-$root/.local/tools}}
  [[ $folder == /* ]] || folder=$PWD/$folder
  tools=$folder/$1-$(cksum <<<"$2" | cut -d ' ' -f 1)
  # In a subshell, because a shell can hold only one lock, and it may hold another one.
  [[ -d $tools ]] || (fetch_tools "$1" "$3")
}

fetch_tools() { # NAME FETCH
  lock "${tools%/*}/$1.lock" "another download of the tools for $1"
  [[ ! -d $tools ]] || return 0
  # Removes the remains of an interrupted download.
  rm -rf "${tools%/*}/new-$1".*
  new=$(mktemp -d "${tools%/*}/new-$1.XXXXXX")
  trap 'rm -rf "$new"' EXIT
  say "downloading the tools for $1, once"
  "$2"
  rm -rf "$new/venv" "$new/target"
  # mktemp creates the folder with mode 700, which would exclude other users of a shared folder.
  chmod -R u+w,go+rX "$new"
  mv "$new" "$tools"
}

# Installs into a plain folder, because a virtual environment cannot be moved.
install_python() { # FOLDER ARGUMENT_OF_PIP...
  local folder=$1
  shift
  [[ -x $new/venv/bin/pip ]] || python3 -m venv "$new/venv"
  "$new/venv/bin/pip" install --quiet --disable-pip-version-check --target "$folder" "$@" ||
    fail "pip could not install: $*"
}

# Shows the output of a command only if it fails, with a message that names the next step.
quietly() { # MESSAGE COMMAND...
  "${@:2}" >"$new/log" 2>&1 && rm "$new/log" && return
  tail -n 10 "$new/log" >&2
  fail "$1 (see above)"
}

install_cargo() { # PROGRAM@VERSION
  say "compiling $1 takes a few minutes"
  CARGO_TARGET_DIR=$new/target quietly "cargo install failed: check the network, or the registry in ~/.cargo/config.toml" \
    cargo install --locked --root "$new" "$1"
}

# ---- LLVM

llvm_major() { rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p'; }

# Prints a folder with an llvm-cov and llvm-profdata that can read the profiles of this rustc, which
# requires the same major version of LLVM. Rustup's component comes first, then the packages of
# Debian and Homebrew.
llvm_tools() {
  local folder major
  major=$(llvm_major)
  for folder in "$(rustc --print sysroot)"/lib/rustlib/*/bin "/usr/lib/llvm-$major/bin" \
    "/opt/homebrew/opt/llvm@$major/bin" "/usr/local/opt/llvm@$major/bin"; do
    [[ -x $folder/llvm-cov && -x $folder/llvm-profdata ]] || continue
    echo "$folder"
    return
  done
  return 1
}
