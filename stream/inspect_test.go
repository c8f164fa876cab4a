package stream

import "testing"

// The group tells everybody how its partitions are.
func TestInspect(t *testing.T) {
	b, _ := newFakeBed(t)
	group := DefaultConfig().Group
	inspect := func() []PartitionInfo {
		t.Helper()
		infos, err := Inspect(t.Context(), b.cluster, group)
		if err != nil || len(infos) != bedPartitions {
			t.Fatalf("%+v, %v", infos, err)
		}
		return infos
	}
	for _, i := range inspect() {
		if i.State != StateNoOwner || i.Published != -1 || i.Lag != i.End || i.Behind < 0 || i.Snapshot != -1 {
			t.Errorf("before the first worker: %+v", i)
		}
	}
	cfg := config(t.TempDir())
	cfg.InstanceID = "one"
	b.feed(5)
	w := startWorker(t, b.cluster, cfg)
	b.waitFolded(w)
	waitFor(t, "a commit and a snapshot of each partition", func() bool {
		for _, i := range inspect() {
			if i.State != StateFolding || i.Owner.Instance != "one" || i.Owner.Host == "" || i.Published < 0 || i.Snapshot < 0 || i.SavedAt.IsZero() {
				return false
			}
		}
		return true
	})
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	for _, i := range inspect() {
		if i.Published != i.End && i.Lag > 3 { // ticks may have come behind
			t.Errorf("after a stop in order: %+v", i)
		}
	}
	// What ended the last owner is still to be seen.
	b.feed(5)
	b.dropJournal()
	w = startWorker(t, b.cluster, cfg)
	w.waitEnded(t)
	if err := w.stop(); err == nil {
		t.Fatal("the worker went on over a hole")
	}
	faults := 0
	for _, i := range inspect() {
		if i.Fault != "" { // a member with a lasting name is still counted
			faults++
		}
	}
	if faults == 0 {
		t.Errorf("no partition says why its worker ended: %+v", inspect())
	}
}
