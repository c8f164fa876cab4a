package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// transactionTimeout is after how long Kafka gives a transaction up whose worker has vanished with nobody taking over; read_committed
// consumers wait behind it until then.
const transactionTimeout = 30 * time.Second

// errNotOurs: another worker has, or may have, taken the partition over.
var errNotOurs = errors.New("another worker holds the partition")

// transactionalID names the writer of a partition's outputs: whoever begins under it ends the one before.
func transactionalID(group string, partition int32) string {
	return fmt.Sprintf("%s-p%d", group, partition)
}

// fencedOpts make a link's client transactional.
func fencedOpts(cfg *Config, partition int32) []kgo.Opt {
	return []kgo.Opt{kgo.TransactionalID(transactionalID(cfg.Group, partition)), kgo.TransactionTimeout(transactionTimeout)}
}

// takeOver makes the partition's outputs ours alone, if the link is a fenced one: a worker that still writes them is refused from here on,
// and the transaction that it left is finished or given up. So the outputs' tails, read afterwards, are final.
//
// The group is asked first. A worker that was suspended and woke finds its writes refused and begins anew; it must not refuse its
// successor's writes in turn. (Suspended again between the question and the take-over it still can: then the successor begins anew once,
// being a member, and this worker has heard of its loss.)
func (p *partition) takeOver(ctx context.Context, l *link) error {
	if !l.fenced {
		return nil
	}
	if err := p.w.member.confirm(ctx); err != nil {
		return err
	}
	if _, _, err := l.client.ProducerID(ctx); err != nil {
		return fmt.Errorf("take over the outputs of partition %d: %w", p.id, err)
	}
	return nil
}

// refused is the error for a transaction that could not be written.
func (l *link) refused(err error) error {
	if errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) {
		return fmt.Errorf("publish outputs of partition %d: %w: %w", l.partition, errNotOurs, err)
	}
	return fmt.Errorf("publish outputs of partition %d: %w", l.partition, err)
}

// confirm returns nil if the group counts this worker among its members now.
func (m *member) confirm(ctx context.Context) error {
	id, generation := m.client.GroupMetadata()
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = m.group, id, generation
	if m.instance != "" {
		req.InstanceID = &m.instance
	}
	resp, err := req.RequestWith(ctx, m.client)
	if err != nil {
		return fmt.Errorf("ask group %s for the membership: %w", m.group, err)
	}
	switch err := kerr.ErrorForCode(resp.ErrorCode); {
	case err == nil, errors.Is(err, kerr.RebalanceInProgress):
		return nil
	case errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.FencedInstanceID):
		return fmt.Errorf("group %s: %w: %w", m.group, errNotOurs, err)
	default:
		return fmt.Errorf("ask group %s for the membership: %w", m.group, err)
	}
}
