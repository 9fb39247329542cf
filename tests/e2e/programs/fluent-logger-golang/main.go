// Sends COUNT numbered lines, each with an acknowledgement that it waits for: PORT TAG COUNT.
package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/fluent/fluent-logger-golang/fluent"
)

func main() {
	port, _ := strconv.Atoi(os.Args[1])
	tag := os.Args[2]
	count, _ := strconv.Atoi(os.Args[3])
	logger, err := fluent.New(fluent.Config{
		FluentHost:         "127.0.0.1",
		FluentPort:         port,
		SubSecondPrecision: true,
		RequestAck:         true,
		RetryWait:          50,
		MaxRetryWait:       200,
		MaxRetry:           1000,
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for number := 0; number < count; number++ {
		line := map[string]string{"message": fmt.Sprintf("%s %d", tag, number)}
		if err := logger.Post(tag, line); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("acknowledged", number)
	}
	logger.Close()
}
