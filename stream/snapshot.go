package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"outfall/telemetry"
)

// A Snapshot is the state of one partition between two entries of its journal.
type Snapshot struct {
	Partition int32
	Next      int64 // journal offset of the first entry that is not in Body
	// Positions are the last outputs of the entries below Next, by topic; all of them were durable before the snapshot was made.
	Positions map[telemetry.Topic]telemetry.Position
	Body      []byte // the fold's own form
}

// A Store keeps the snapshots of all partitions.
type Store interface {
	// Save makes s the newest snapshot of its partition. When it returns nil, s survives a power loss.
	Save(ctx context.Context, s *Snapshot) error
	// Load reads the partition's snapshot of the given age: 0 is the newest. ErrNoSnapshot: there is none so old. ErrDamaged: there is
	// one that is of no use, an older one may be. Any other error says nothing about snapshots: try again later.
	Load(ctx context.Context, partition int32, age int) (*Snapshot, error)
}

// ErrNoSnapshot ends a search for ever older snapshots.
var ErrNoSnapshot = errors.New("no such snapshot")

// ErrDamaged is a snapshot that is there and can never be used.
var ErrDamaged = errors.New("snapshot of no use")

// generations is how many snapshots of a partition are kept: the newest, one for when that is damaged, and one for when the
// broker's log lost its end with it.
const generations = 3

// DirStore keeps snapshots as files pPPPPP-gGGGGGGGGGG.snap in one directory: partition and generation. A file appears only whole.
type DirStore struct{ dir string }

// OpenDirStore creates dir, owner only, if it is missing, and removes what writes that were killed left in it over an hour ago: no
// write of another worker takes so long.
func OpenDirStore(dir string) (*DirStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("snapshot directory: %w", err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("snapshot directory: %w", err)
	}
	for _, f := range files {
		if !strings.HasPrefix(f.Name(), "snapshot-") || !strings.HasSuffix(f.Name(), ".tmp") {
			continue
		}
		if info, err := f.Info(); err == nil && time.Since(info.ModTime()) > time.Hour {
			_ = os.Remove(filepath.Join(dir, f.Name())) // it is only disk space
		}
	}
	return &DirStore{dir: dir}, nil
}

// list returns the partition's generations, newest first.
func (d *DirStore) list(partition int32) ([]uint64, error) {
	prefix := fmt.Sprintf("p%05d-g", partition)
	files, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, fmt.Errorf("list snapshots of partition %d: %w", partition, err)
	}
	var gens []uint64
	for _, f := range files {
		number, ours := strings.CutPrefix(f.Name(), prefix)
		number, whole := strings.CutSuffix(number, ".snap")
		if g, err := strconv.ParseUint(number, 10, 63); ours && whole && err == nil {
			gens = append(gens, g)
		}
	}
	slices.Sort(gens)
	slices.Reverse(gens)
	return gens, nil
}

func (d *DirStore) path(partition int32, generation uint64) string {
	return filepath.Join(d.dir, fmt.Sprintf("p%05d-g%010d.snap", partition, generation))
}

// Save writes a new generation (temporary file, fsync, rename, fsync of the directory) and removes those beyond the third.
func (d *DirStore) Save(ctx context.Context, s *Snapshot) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	gens, err := d.list(s.Partition)
	if err != nil {
		return err
	}
	generation := uint64(1)
	if len(gens) > 0 {
		generation = gens[0] + 1
	}
	if err := d.write(d.path(s.Partition, generation), s.append(nil)); err != nil {
		return fmt.Errorf("write snapshot of partition %d: %w", s.Partition, err)
	}
	for i, g := range gens {
		if i >= generations-1 {
			// A file that stays is only disk space, and the next Save tries again.
			_ = os.Remove(d.path(s.Partition, g))
		}
	}
	return nil
}

func (d *DirStore) write(path string, data []byte) (err error) {
	f, err := os.CreateTemp(d.dir, "snapshot-*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// Load implements Store.
func (d *DirStore) Load(ctx context.Context, partition int32, age int) (*Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	gens, err := d.list(partition)
	if err != nil {
		return nil, err
	}
	if age >= len(gens) {
		return nil, ErrNoSnapshot
	}
	path := d.path(partition, gens[age])
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err) // another worker's Save has just removed it
	}
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	s, err := readSnapshot(data)
	if err == nil && s.Partition != partition {
		err = fmt.Errorf("holds partition %d", s.Partition)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	return s, nil
}

// The form of a snapshot file: magic, format version, partition, next offset, positions, length of the body, body, and the CRC-32C
// of all that. Integers are big endian.
const (
	snapshotMagic   = "OUTFSNAP"
	snapshotVersion = 1
)

func castagnoli(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func (s *Snapshot) append(dst []byte) []byte {
	start := len(dst)
	be := binary.BigEndian
	dst = slices.Grow(dst, len(s.Body)+256)
	dst = append(dst, snapshotMagic...)
	dst = be.AppendUint16(dst, snapshotVersion)
	dst = be.AppendUint32(dst, uint32(s.Partition))
	dst = be.AppendUint64(dst, uint64(s.Next))
	topics := telemetry.OutputTopics()
	dst = append(dst, byte(len(topics)))
	for _, t := range topics {
		pos, ok := s.Positions[t]
		if !ok {
			pos = telemetry.NoPosition
		}
		dst = append(dst, byte(len(t.String())))
		dst = append(dst, t.String()...)
		dst = be.AppendUint64(dst, uint64(pos.Source))
		dst = be.AppendUint32(dst, uint32(pos.Ordinal))
	}
	dst = be.AppendUint64(dst, uint64(len(s.Body)))
	dst = append(dst, s.Body...)
	return be.AppendUint32(dst, castagnoli(dst[start:]))
}

// readSnapshot is the inverse of append. Body aliases data.
func readSnapshot(data []byte) (*Snapshot, error) {
	be := binary.BigEndian
	if len(data) < len(snapshotMagic)+2+4 || string(data[:len(snapshotMagic)]) != snapshotMagic {
		return nil, errors.New("is no snapshot, or cut short")
	}
	body, sum := data[:len(data)-4], be.Uint32(data[len(data)-4:])
	if got := castagnoli(body); got != sum {
		return nil, fmt.Errorf("checksum %08x, want %08x: damaged or cut short", got, sum)
	}
	r := reader{b: body[len(snapshotMagic):]}
	if v := be.Uint16(r.take(2)); v != snapshotVersion {
		return nil, fmt.Errorf("format version %d, this program reads %d", v, snapshotVersion)
	}
	s := &Snapshot{Partition: int32(r.uint32()), Next: int64(r.uint64()), Positions: map[telemetry.Topic]telemetry.Position{}}
	for n := r.byte(); n > 0; n-- {
		name := string(r.take(int(r.byte())))
		pos := telemetry.Position{Source: int64(r.uint64()), Ordinal: int32(r.uint32())}
		if i := slices.IndexFunc(telemetry.OutputTopics(), func(t telemetry.Topic) bool { return t.String() == name }); i >= 0 && pos != telemetry.NoPosition {
			s.Positions[telemetry.OutputTopics()[i]] = pos
		}
	}
	n := r.uint64()
	if r.short || n != uint64(len(r.b)) || s.Next < 0 {
		return nil, errors.New("fields do not fit the file")
	}
	s.Body = r.b
	return s, nil
}

// A reader takes fields off b; short is set once one did not fit, and zeros come from then on.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if r.short || n > len(r.b) {
		r.short = true
		return make([]byte, n)
	}
	field := r.b[:n]
	r.b = r.b[n:]
	return field
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }
