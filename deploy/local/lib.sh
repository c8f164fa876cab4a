# Sourced by the scripts of this folder: where built servers are cached, and how a server is started and stopped.
# Everything that is not the result goes to stderr, so that `addr=$(./kafka.sh start)` works.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${OUTFALL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outfall}

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; }
die() { say "$*"; exit 1; }

# usage: the comment at the head of the calling script, on stderr.
usage() {
	sed -n '2,/^[^#]/ { s/^# \{0,1\}//p; }' "$0" >&2
	exit 2
}

# need PROGRAM PACKAGE HINT: the program must be there; on Debian, root may have PACKAGE installed.
need() {
	command -v "$1" >/dev/null && return
	if [ -n "$2" ] && [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then
		say "installing the Debian package $2 ($1 is missing)"
		apt-get install -y -qq "$2" >/dev/null 2>&1 ||
			{ apt-get update -qq && apt-get install -y -qq "$2"; } >&2
	fi
	command -v "$1" >/dev/null || die "$1 is missing: $3"
}

# once NAME FUNCTION: the folder $cache/NAME, made by FUNCTION in a scratch folder (its argument) and renamed into place
# when that succeeded, so that an interrupted build is never taken for a finished one. Parallel calls wait for one another.
once() {
	local final=$cache/$1 make=$2 began=$SECONDS scratch
	[ -d "$final" ] && return
	mkdir -p "$cache"
	exec 9>"$cache/$1.lock"
	flock 9
	if [ ! -d "$final" ]; then
		# Nobody else holds the lock: what an interrupted build left behind is nobody's.
		[ ! -e "$final.tmp" ] || { chmod -R u+w "$final.tmp"; rm -rf "$final.tmp"; }
		scratch=$final.tmp
		mkdir "$scratch"
		# Not in a condition: errexit must hold inside.
		(set -e; "$make" "$scratch") >&2
		mv "$scratch" "$final"
		say "$1 is ready in $final ($((SECONDS - began)) s)"
	fi
	exec 9>&-
}

# free_port: a TCP port of the loopback interface that nobody listens on, below the range that the kernel hands out.
free_port() {
	local port
	for _ in {1..100}; do
		port=$((20000 + RANDOM % 12000))
		listens "$port" || { echo "$port"; return; }
	done
	die "no free port found in 20000..32000"
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# running DIR: the process of DIR/pid lives and is ours (its command line names DIR: a pid may have been reused).
running() {
	local pid
	pid=$(cat "$1/pid" 2>/dev/null) && [ -n "$pid" ] && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "$1/"
}

# launch DIR COMMAND...: starts COMMAND in the background with its output in DIR/log and its process id in DIR/pid.
launch() {
	local dir=$1
	shift
	setsid "$@" >"$dir/log" 2>&1 </dev/null &
	echo $! >"$dir/pid"
}

# await DIR SECONDS COMMAND...: until COMMAND succeeds; a server that ended or took too long is an error with its log. The process that
# launch made is asked for as such: before its exec it does not bear the server's command line yet, by which running knows it.
await() {
	local dir=$1 deadline=$((SECONDS + $2))
	shift 2
	until "$@" >/dev/null 2>&1; do
		kill -0 "$(cat "$dir/pid")" 2>/dev/null || { tail -n 20 "$dir/log" >&2; die "the server ended while starting; its log is $dir/log"; }
		[ $SECONDS -lt $deadline ] || { tail -n 20 "$dir/log" >&2; die "not ready in time; its log is $dir/log"; }
		sleep 0.2
	done
}

# halt DIR: SIGTERM to the server of DIR/pid, SIGKILL after 20 s. No server is fine.
halt() {
	local pid
	if running "$1"; then
		pid=$(cat "$1/pid")
		kill "$pid"
		for _ in {1..100}; do
			running "$1" || break
			sleep 0.2
		done
		running "$1" && { say "no end within 20 s, killing it"; kill -9 "$pid"; }
	fi
	rm -f "$1/pid" "$1/address"
}

# folder ARGUMENT NAME: the absolute data directory of a server, made if it is missing.
folder() {
	local dir=${1:-$cache/run/$2}
	mkdir -p "$dir"
	(cd "$dir" && pwd)
}

# status DIR: the address on stdout, or an error.
status() {
	running "$1" || die "not running (data in $1)"
	cat "$1/address"
}
