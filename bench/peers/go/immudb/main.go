// A load generator for immudb: transactions of many entries on several connections, each sent when
// the answer to the one before has come. Prints one JSON object, as bench.peers.load does.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/codenotary/immudb/pkg/api/schema"
	"github.com/codenotary/immudb/pkg/client"
)

var (
	port         = flag.Int("port", 3322, "port of the server on the loopback address")
	lines        = flag.String("lines", "", "file with the lines to store, taken in turn")
	database     = flag.String("database", "defaultdb", "database to write to")
	create       = flag.String("create", "", "create the database with these settings (JSON) first")
	connections  = flag.Int("connections", 8, "connections")
	transactions = flag.Int("transactions", 200, "transactions in all")
	entries      = flag.Int("entries", 1000, "entries in a transaction")
	noWait       = flag.Bool("no_wait", false, "answer when durable, not only when indexed too")
)

func main() {
	flag.Parse()
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	text, err := os.ReadFile(*lines)
	if err != nil {
		return err
	}
	values := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	if *create != "" {
		if err := createDatabase(ctx); err != nil {
			return err
		}
	}
	sessions := make([]client.ImmuClient, *connections)
	for i := range sessions {
		if sessions[i], err = connect(ctx, *database); err != nil {
			return err
		}
	}
	before, err := sessions[0].CurrentState(ctx)
	if err != nil {
		return err
	}
	started := time.Now()
	latencies, err := send(ctx, sessions, values, before.TxId)
	if err != nil {
		return err
	}
	seconds := time.Since(started).Seconds()
	after, err := sessions[0].CurrentState(ctx)
	if err != nil {
		return err
	}
	if stored := int(after.TxId - before.TxId); stored != *transactions {
		return fmt.Errorf("%d transactions sent, %d stored", *transactions, stored)
	}
	for _, session := range sessions {
		if err := session.CloseSession(ctx); err != nil {
			return err
		}
	}
	slices.Sort(latencies)
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"requests": float64(*transactions),
		"entries":  float64(*transactions * *entries),
		"seconds":  seconds,
		"p50_ms":   latencies[len(latencies)/2].Seconds() * 1000,
		"p99_ms":   latencies[len(latencies)*99/100].Seconds() * 1000,
	})
}

func connect(ctx context.Context, database string) (client.ImmuClient, error) {
	options := client.DefaultOptions().WithPort(*port).WithDisableIdentityCheck(true)
	session := client.NewClient().WithOptions(options)
	return session, session.OpenSession(ctx, []byte("immudb"), []byte("immudb"), database)
}

func createDatabase(ctx context.Context) error {
	settings := &schema.DatabaseNullableSettings{}
	if err := json.Unmarshal([]byte(*create), settings); err != nil {
		return err
	}
	admin, err := connect(ctx, "defaultdb")
	if err != nil {
		return err
	}
	if _, err := admin.CreateDatabaseV2(ctx, *database, settings); err != nil {
		return err
	}
	return admin.CloseSession(ctx)
}

// send stores the transactions and returns how long each took. Keys are 16 bytes: the state in
// which the run began and the number of the entry, so they are new in each run, and in order.
func send(
	ctx context.Context, sessions []client.ImmuClient, values [][]byte, epoch uint64,
) ([]time.Duration, error) {
	var next atomic.Int64
	var all sync.WaitGroup
	took := make([]time.Duration, *transactions)
	failures := make([]error, len(sessions))
	for i, session := range sessions {
		all.Add(1)
		go func() {
			defer all.Done()
			for {
				number := int(next.Add(1)) - 1
				if number >= *transactions {
					return
				}
				request := transaction(values, epoch, number)
				sent := time.Now()
				if _, err := session.SetAll(ctx, request); err != nil {
					failures[i] = err
					return
				}
				took[number] = time.Since(sent)
			}
		}()
	}
	all.Wait()
	for _, failure := range failures {
		if failure != nil {
			return nil, failure
		}
	}
	return took, nil
}

func transaction(values [][]byte, epoch uint64, number int) *schema.SetRequest {
	pairs := make([]*schema.KeyValue, *entries)
	for i := range pairs {
		place := number**entries + i
		key := binary.BigEndian.AppendUint64(nil, epoch)
		key = binary.BigEndian.AppendUint64(key, uint64(place))
		pairs[i] = &schema.KeyValue{Key: key, Value: values[place%len(values)]}
	}
	return &schema.SetRequest{KVs: pairs, NoWait: *noWait}
}
