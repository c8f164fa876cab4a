package tcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// listen binds address. The options are the listener's, and the kernel copies them to each connection, which saves calls at the accept.
func listen(cfg *Config, address string) (*net.TCPListener, error) {
	options := []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(cfg.KeepAlive / time.Second)},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(cfg.KeepAlive / 3 / time.Second)},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
		// Otherwise an unconfirmed ack keeps a dead connection for 15 minutes of retransmissions, in which keep-alive does not probe.
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(2 * cfg.KeepAlive / time.Millisecond)},
	}
	if cfg.ReusePort {
		options = append(options, struct{ level, name, value int }{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1})
	}
	lc := net.ListenConfig{KeepAlive: -1} // net would set its own for each connection
	lc.SetMultipathTCP(false)             // net's default has neither SO_ATTACH_REUSEPORT_CBPF nor anything for a data logger
	lc.Control = func(_, _ string, rc syscall.RawConn) error {
		var err error
		control := rc.Control(func(fd uintptr) {
			for _, o := range options {
				if err = unix.SetsockoptInt(int(fd), o.level, o.name, o.value); err != nil {
					err = fmt.Errorf("option %d/%d = %d: %w", o.level, o.name, o.value, err)
					return
				}
			}
		})
		if control != nil {
			return control
		}
		return err
	}
	ln, err := lc.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	if cfg.ReusePort {
		if err := shareEvenly(ln.(*net.TCPListener)); err != nil {
			ln.Close()
			return nil, err
		}
	}
	return ln.(*net.TCPListener), nil
}

// shareEvenly makes the kernel spread new connections over the sockets on the port by hash. What steerAway has told the port outlives the
// process that did so: whoever came next to the one that was left would get every connection, and turn away what it cannot hold.
func shareEvenly(ln *net.TCPListener) error {
	rc, err := ln.SyscallConn()
	if err != nil {
		return err
	}
	control := rc.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DETACH_REUSEPORT_BPF, 0)
	})
	if control != nil {
		return control
	}
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOPROTOOPT) { // nothing was told; Linux before 5.3 cannot take it back
		return nil
	}
	return err
}

// steerAway makes the kernel give new connections to the newer of two sockets on the port. A closing listener resets what is in its
// queue and what is in the three-way handshake, so that nothing new may come to it for a while before.
//
// The sockets of a port are numbered in the order in which they began to listen, and the last one takes the number of one that is
// closed; the program belongs to all of them. While there is no socket 1, the kernel goes on by hash, that is, with the only one.
func steerAway(ln *net.TCPListener) error {
	rc, err := ln.SyscallConn()
	if err != nil {
		return err
	}
	always := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 1}}
	control := rc.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &unix.SockFprog{Len: 1, Filter: &always[0]})
	})
	if control != nil {
		return control
	}
	return err
}
