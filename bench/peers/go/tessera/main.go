// A log of entries over HTTP on Tessera's POSIX storage, with its batching as flags: what the
// conformance server fixes at 256 entries or one second cannot be set there.
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

var (
	storage    = flag.String("storage_dir", "", "directory of the log")
	listen     = flag.String("listen", "127.0.0.1:2025", "address to listen on")
	batchSize  = flag.Uint("batch_max_size", tessera.DefaultBatchMaxSize, "entries in a batch")
	batchAge   = flag.Duration("batch_max_age", tessera.DefaultBatchMaxAge, "age of a batch")
	checkpoint = flag.Duration("checkpoint_interval", time.Second, "time between checkpoints")
	newKey     = flag.String("new_key", "", "print a private key of this name and end")
)

func main() {
	flag.Parse()
	if *newKey != "" {
		private, _, err := note.GenerateKey(rand.Reader, *newKey)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(private)
		return
	}
	add, err := open(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("POST /add", func(answer http.ResponseWriter, request *http.Request) {
		data, err := io.ReadAll(request.Body)
		if err != nil {
			http.Error(answer, err.Error(), http.StatusBadRequest)
			return
		}
		index, err := add(request.Context(), tessera.NewEntry(data))()
		if err != nil {
			http.Error(answer, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(answer, strconv.FormatUint(index.Index, 10))
	})
	log.Fatal(http.ListenAndServe(*listen, nil))
}

// open starts the appender. No antispam, not even in memory: every entry is stored.
func open(ctx context.Context) (tessera.AddFn, error) {
	signer, err := note.NewSigner(os.Getenv("LOG_PRIVATE_KEY"))
	if err != nil {
		return nil, err
	}
	driver, err := posix.New(ctx, posix.Config{Path: *storage})
	if err != nil {
		return nil, err
	}
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithCheckpointInterval(*checkpoint).
		WithBatching(*batchSize, *batchAge)
	appender, _, _, err := tessera.NewAppender(ctx, driver, options)
	if err != nil {
		return nil, err
	}
	return appender.Add, nil
}
