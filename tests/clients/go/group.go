package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A received is a record as a group sees it; members may get one twice, but only after a rebalance.
type received struct {
	partition int32
	offset    int64
	value     string
}

// A member consumes in a goroutine of its own until it leaves.
type member struct {
	client   *kgo.Client
	stop     context.CancelFunc
	done     chan struct{}
	lock     sync.Mutex
	got      []received
	assigned map[int32]bool
	failures []error
	// A member that lives through a restart of the broker forgives the end of a session.
	forgiving bool
}

// join starts a member of the case's group, which is named like its topic.
func join(c *suiteContext, options ...kgo.Opt) *member {
	return start(c, &member{}, options...)
}

func start(c *suiteContext, m *member, options ...kgo.Opt) *member {
	m.done, m.assigned = make(chan struct{}), map[int32]bool{}
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	change := func(partitions map[string][]int32, held bool) {
		m.lock.Lock()
		defer m.lock.Unlock()
		for _, partition := range partitions[c.name] {
			if held {
				m.assigned[partition] = true
			} else {
				delete(m.assigned, partition)
			}
		}
	}
	m.client = client(c, append([]kgo.Opt{
		kgo.ConsumerGroup(c.name),
		kgo.ConsumeTopics(c.name),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { change(p, true) }),
		kgo.OnPartitionsRevoked(func(ctx context.Context, cl *kgo.Client, p map[string][]int32) {
			// What the client does by itself where a program has no callback.
			m.failed(cl.CommitUncommittedOffsets(ctx))
			change(p, false)
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { change(p, false) }),
	}, options...)...)
	go m.consume(ctx)
	return m
}

func (m *member) consume(ctx context.Context) {
	defer close(m.done)
	for ctx.Err() == nil {
		fetches := m.client.PollFetches(ctx)
		m.lock.Lock()
		fetches.EachRecord(func(r *kgo.Record) {
			m.got = append(m.got, received{r.Partition, r.Offset, string(r.Value)})
		})
		m.lock.Unlock()
		for _, failure := range fetches.Errors() {
			if session := (*kgo.ErrGroupSession)(nil); errors.As(failure.Err, &session) {
				m.failed(failure.Err)
			}
		}
	}
	m.client.CloseAllowingRebalance()
}

func (m *member) failed(err error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if err != nil && !m.forgiving {
		m.failures = append(m.failures, err)
	}
}

func (m *member) partitions() []int32 {
	m.lock.Lock()
	defer m.lock.Unlock()
	return slices.Sorted(maps.Keys(m.assigned))
}

func (m *member) leave() {
	m.stop()
	<-m.done
	equal(m.failures, []error(nil), "failures of a member")
}

// waitShared waits until every member has an equal share of the partitions.
func waitShared(count int, members ...*member) {
	waitUntil("the partitions to be shared", func() bool {
		all := map[int32]bool{}
		for _, m := range members {
			own := m.partitions()
			if len(own) != count/len(members) {
				return false
			}
			for _, partition := range own {
				all[partition] = true
			}
		}
		return len(all) == count
	})
}

// waitReceived waits until the members together have received all that was sent.
func waitReceived(sent map[received]bool, members ...*member) {
	missing := received{}
	defer func() {
		if failure := recover(); failure != nil {
			panic(fmt.Sprintf("%v, among them %+v", failure, missing))
		}
	}()
	waitUntil("records", func() bool {
		all := union(members...)
		for record := range sent {
			if !all[record] {
				missing = record
				return false
			}
		}
		return true
	})
}

func union(members ...*member) map[received]bool {
	all := map[received]bool{}
	for _, m := range members {
		m.lock.Lock()
		for _, record := range m.got {
			all[record] = true
		}
		m.lock.Unlock()
	}
	return all
}

// sendEach appends `count` records to every partition.
func sendEach(producer *kgo.Client, c *suiteContext, partitions, count int, prefix string) map[received]bool {
	records := []*kgo.Record{}
	for i := range count {
		for partition := range partitions {
			value := fmt.Sprintf("%s-%d-%d", prefix, partition, i)
			records = append(records, &kgo.Record{Topic: c.name, Partition: int32(partition), Value: []byte(value)})
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	sent := map[received]bool{}
	for _, result := range producer.ProduceSync(ctx, records...) {
		must(result.Err)
		sent[received{result.Record.Partition, result.Record.Offset, string(result.Record.Value)}] = true
	}
	return sent
}

// groupOfTwo: two members started together share the partitions; when one leaves, the other has all.
func groupOfTwo(c *suiteContext, options ...kgo.Opt) {
	const partitions = 4
	create(c, partitions, nil)
	producer := client(c, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer producer.Close()
	first := sendEach(producer, c, partitions, 25, "first")
	one, two := join(c, options...), join(c, options...)
	waitShared(partitions, one, two)
	waitReceived(first, one, two)

	// In a settled group each record goes to the member that has its partition, once.
	before := []int{len(one.got), len(two.got)}
	second := sendEach(producer, c, partitions, 25, "second")
	waitReceived(second, one, two)
	for i, m := range []*member{one, two} {
		fresh := map[received]bool{}
		for _, record := range m.got[before[i]:] {
			equal(fresh[record], false, "record received twice")
			equal(slices.Contains(m.partitions(), record.partition), true, "record of the member's partitions")
			fresh[record] = true
		}
		equal(len(fresh), 50, "records of a member")
	}

	two.leave()
	waitShared(partitions, one)
	waitReceived(sendEach(producer, c, partitions, 5, "third"), one)
	one.leave()
}

// groupChurn: members come and go all at once, and nothing is lost, and no member is refused for good.
func groupChurn(c *suiteContext) {
	const partitions = 12
	create(c, partitions, nil)
	producer := client(c, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer producer.Close()
	sent := sendEach(producer, c, partitions, 20, "early")
	members := []*member{}
	for range 6 {
		members = append(members, join(c))
	}
	for i := range 3 {
		maps.Copy(sent, sendEach(producer, c, partitions, 5, fmt.Sprintf("churn %d", i)))
		members[i].leave()
		members = append(members, join(c))
		time.Sleep(time.Duration(i) * 100 * time.Millisecond)
	}
	waitShared(partitions, members[3:]...)
	waitReceived(sent, members...)
	for _, m := range members[3:] {
		go m.stop()
	}
	for _, m := range members[3:] {
		m.leave()
	}
}

// surviveRestart: a group goes on after the broker was restarted, and nothing acknowledged or committed is lost.
func surviveRestart(c *suiteContext) {
	const partitions = 4
	create(c, partitions, nil)
	producer := client(c, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer producer.Close()
	before := sendEach(producer, c, partitions, 10, "before")
	outside := c.name + ".outside"
	early := map[int32]int64{0: 3, 1: 4, 2: 5, 3: 6}
	commitOutside(c, outside, early)
	one, two := start(c, &member{forgiving: true}), start(c, &member{forgiving: true})
	waitShared(partitions, one, two)
	waitReceived(before, one, two)

	c.restartBroker()

	after := sendEach(producer, c, partitions, 10, "after")
	waitReceived(after, one, two)
	maps.Copy(after, before)
	equal(union(one, two), after, "records that the group received")
	waitShared(partitions, one, two)
	one.leave()
	two.leave()
	checkCommitted(c, outside, early)
	late := map[int32]int64{0: 11, 1: 12, 2: 13, 3: 14}
	commitOutside(c, outside, late)
	checkCommitted(c, outside, late)
}
