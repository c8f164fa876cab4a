#!/usr/bin/env bash
# A mail server for tests: Debian's python3-aiosmtpd, with STARTTLS on one port and TLS from the first byte on another, and a login.
#
#   smtp.sh start [DIR]    start it on DIR (default: in the cache), print HOST:PORT HOST:TLSPORT. DIR/cert.pem is its authority, DIR/password the
#                          password of the user "outfall"; each message becomes DIR/mail/N.eml
#   smtp.sh status [DIR]   print the addresses of a running one
#   smtp.sh stop [DIR]
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

start() {
	local dir=$1 port tls
	running "$dir" && { status "$dir"; return; }
	need /usr/bin/aiosmtpd python3-aiosmtpd "install python3-aiosmtpd"
	need openssl openssl "install openssl"
	port=$(free_port) tls=$(free_port)
	[ -e "$dir/cert.pem" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=outfall-test \
		-addext subjectAltName=IP:127.0.0.1 -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null
	(umask 077 && echo outfall-local-mail >"$dir/password")
	launch "$dir" /usr/bin/python3 "$here/smtpd.py" "$dir/" "$port" "$tls"
	await "$dir" 30 listens "$port"
	await "$dir" 30 listens "$tls"
	echo "127.0.0.1:$port 127.0.0.1:$tls" >"$dir/address"
	status "$dir"
}

case ${1:-} in
start) start "$(folder "${2:-}" smtp)" ;;
status) status "$(folder "${2:-}" smtp)" ;;
stop) halt "$(folder "${2:-}" smtp)" ;;
*) usage ;;
esac
